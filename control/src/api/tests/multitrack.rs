//! The configuration of multitrack video, as OBS asks for it: who gets it, and how a refusal is told.

use super::claims::{SECRET, token};
use super::*;

const PATH: &str = "/api/v1/multitrack-video/config";

fn asked(key: &str) -> String {
    let canvas = json!({"width": 1280, "height": 720, "framerate": {"numerator": 30, "denominator": 1}});
    json!({"authentication": key, "service": "IVS", "preferences": {"canvases": [canvas]}}).to_string()
}

#[tokio::test]
async fn whoever_may_publish_under_the_key_is_told_what_and_where() {
    let server = Server::start(SECRET, |_| {}).await;
    let key = format!("demo?token={}", token("host", "mia"));
    let (status, answer) = server.send("POST", PATH, "", &asked(&key)).await;
    assert_eq!((status, &answer["status"]["result"]), (200, &json!("success")), "{answer}");
    assert_eq!(
        answer["ingest_endpoints"],
        json!([{"protocol": "RTMP", "url_template": "rtmp://localhost:1935/live/{stream_key}"}])
    );
    assert_eq!(answer["encoder_configurations"].as_array().unwrap().len(), 3);
    let by_header = server.send("POST", PATH, &token("host", "mia"), &asked("demo")).await;
    assert_eq!(by_header.1["status"]["result"], "success", "a token of the request counts where the key has none");
    let ids = [&answer, &by_header.1].map(|answer| answer["meta"]["config_id"].as_str().unwrap().to_owned());
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_key_that_may_not_publish_is_told_so_in_a_form_that_obs_shows() {
    let server = Server::start(SECRET, |_| {}).await;
    for (key, words) in [
        ("demo".to_owned(), "asks for a token"),
        ("demo?token=forged".to_owned(), "not valid"),
        (format!("demo?token={}", token("viewer", "anna")), "may not publish"),
        (format!("other?token={}", token("host", "mia")), "may not publish"),
        ("two words".to_owned(), "ROOM/PARTICIPANT"),
        (String::new(), "ROOM/PARTICIPANT"),
    ] {
        let (status, answer) = server.send("POST", PATH, "", &asked(&key)).await;
        assert_eq!((status, &answer["status"]["result"]), (200, &json!("error")), "{key}");
        let sentence = answer["status"]["html_en_us"].as_str().unwrap();
        assert!(sentence.contains(words), "{key}: {sentence}");
        assert_eq!((&answer["encoder_configurations"], &answer["ingest_endpoints"]), (&json!([]), &json!([])));
    }
}

#[tokio::test]
async fn a_refusal_is_a_denial_for_the_door() {
    let server = Server::start(SECRET, |_| {}).await;
    let Server { hub, gate, rooms, .. } = &server;
    let routes = Api::new(hub.clone(), gate.clone(), rooms.clone(), crate::api::rtmp_ingest()).router();
    let request = axum::extract::Request::post(PATH).body(axum::body::Body::from(asked("demo"))).unwrap();
    let answer = tower::ServiceExt::oneshot(routes, request).await.unwrap();
    assert_eq!(answer.extensions().get(), Some(&onmic_media::Denial::TokenMissing));
    assert_eq!(answer.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn what_is_no_request_is_a_problem() {
    let server = Server::start("", |_| {}).await;
    assert_eq!(server.send("POST", PATH, "", "{").await.0, 400);
    assert_eq!(server.send("POST", PATH, "", r#"{"authentication":7}"#).await.0, 422);
    assert_eq!(server.send("POST", PATH, "", &" ".repeat((64 << 10) + 1)).await.0, 413);
    assert_eq!(server.send("GET", PATH, "", "").await.0, 405);
    let (_, answer) = server.send("POST", PATH, "", r#"{"authentication":"demo"}"#).await;
    assert!(answer["status"]["html_en_us"].as_str().unwrap().contains("does not state its picture"));
}
