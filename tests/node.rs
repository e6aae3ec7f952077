//! Tests a whole node through `Node::start`, which `main` uses too: it starts, answers and stops.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use onmic::{Config, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Returns a configuration for loopback, with ports that the system chooses, and without RTMP.
fn config() -> Config {
    let mut config = Config::default();
    (config.http.port, config.rtmp.port, config.rtc.port) = (0, 0, 0);
    config
}

/// Returns the same with RTMP, on a port that was free a moment ago.
fn config_with_rtmp() -> Config {
    let mut config = config();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    config.rtmp.port = free.local_addr().unwrap().port();
    config
}

/// Returns the handle of a recorder that is not installed, because a process can install only one.
fn metrics() -> PrometheusHandle {
    PrometheusBuilder::new().build_recorder().handle()
}

async fn get(server: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_node_answers_until_it_is_stopped() {
    let node = Node::start(&config_with_rtmp(), metrics()).unwrap();
    let (http, rtmp) = (node.http(), node.rtmp().unwrap());
    assert!(get(http, "/healthz").await.contains(" 200 "));
    let server = get(http, "/api/v1/server").await;
    assert!(server.contains(&format!("\"rtmp_port\":{},\"rtmp_app\":\"live\"", rtmp.port())), "{server}");
    node.stop().await.unwrap();
    assert!(TcpStream::connect(http).await.is_err());
    assert!(TcpStream::connect(rtmp).await.is_err());
}

#[tokio::test]
async fn port_0_turns_rtmp_off() {
    let node = Node::start(&config(), metrics()).unwrap();
    assert_eq!(node.rtmp(), None);
    let server = get(node.http(), "/api/v1/server").await;
    assert!(server.contains("\"rtmp_port\":0,"), "{server}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn pages_have_their_policy_and_no_answer_is_kept_that_does_not_say_so() {
    let node = Node::start(&config(), metrics()).unwrap();
    for page in ["/", "/watch/demo", "/studio/demo", "/assets/none.js"] {
        let answer = get(node.http(), page).await;
        for header in ["frame-ancestors 'none'", "referrer-policy: no-referrer", "x-frame-options: DENY", "nosniff"] {
            assert!(answer.contains(header), "{page} lacks {header}: {answer}");
        }
    }
    for path in ["/api/v1/rooms", "/api/v1/server", "/metrics", "/healthz", "/api/v1/rooms/none", "/flv/none.flv"] {
        let answer = get(node.http(), path).await;
        assert!(answer.contains("x-content-type-options: nosniff"), "{path}: {answer}");
        let kept = answer.lines().find(|line| line.starts_with("cache-control: "));
        assert!(matches!(kept, Some("cache-control: no-store" | "cache-control: max-age=1")), "{path}: {kept:?}");
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn two_nodes_run_in_one_process() {
    let (first, second) = (Node::start(&config(), metrics()).unwrap(), Node::start(&config(), metrics()).unwrap());
    assert!(get(first.http(), "/readyz").await.contains(" 200 "));
    first.stop().await.unwrap();
    assert!(get(second.http(), "/readyz").await.contains(" 200 "));
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_on_a_port_in_use_fails_and_names_the_address() {
    let node = Node::start(&config(), metrics()).unwrap();
    let mut taken = config();
    taken.http.port = node.http().port();
    let refused = Node::start(&taken, metrics()).err().unwrap();
    assert_eq!(refused.to_string(), format!("cannot listen on {}", node.http()));
    node.stop().await.unwrap();
}
