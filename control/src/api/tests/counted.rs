//! What a client of the events is denied, and why the server closes it: each is counted by its reason (`onmic_denied_total`,
//! `onmic_closed_total`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::serve::Listener;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::claims::{SECRET, query, token_until};
use super::*;

/// Returns the lines of a counter, each as `reason value`. All of them are of WebSockets.
fn counted(handle: &PrometheusHandle, counter: &str) -> Vec<String> {
    let text = handle.render();
    let begin = format!("{counter}{{protocol=\"websocket\",reason=\"");
    let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with(counter)).collect();
    lines.sort_unstable();
    lines.iter().map(|line| line.strip_prefix(&begin).expect("a line of WebSockets").replace("\"}", "")).collect()
}

#[tokio::test]
async fn refusals_are_counted_by_their_reason() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let denied = || counted(&recorder.handle(), "onmic_denied_total");

    let server = Server::start(SECRET, |config| (config.clients, config.clients_each) = (12, 9)).await;
    let refused = async |room: &str, query: &str| server.connect(room, query).await.err().map(|status| status.as_u16());
    let anna = query("viewer", "anna");
    assert_eq!(refused("demo", "").await, Some(401));
    assert_eq!(refused("demo", "token=nonsense").await, Some(401));
    assert_eq!(refused("demo", &format!("token={}", token_until(1, "viewer", "anna"))).await, Some(401));
    assert_eq!(refused("other", &anna).await, Some(403));
    assert_eq!(denied(), ["not_allowed 1", "token_invalid 2", "token_missing 1"]);

    let mut host = server.join("demo", &query("host", "mia")).await;
    assert_eq!(host.ask(json!({"kind": "ban", "person": "ben", "seconds": 60})).await["ok"], true);
    assert_eq!(refused("demo", &query("viewer", "ben")).await, Some(403));
    let mut windows = Vec::new();
    for _ in 0..8 {
        windows.push(server.join("demo", &anna).await);
    }
    assert_eq!(refused("demo", &anna).await, Some(429), "the connections of one person");
    let mut others = Vec::new();
    for person in ["ed", "eve", "eli"] {
        others.push(server.join("demo", &query("viewer", person)).await);
    }
    assert_eq!(refused("demo", &query("viewer", "ella")).await, Some(503), "the connections of the node");
    assert_eq!(denied(), ["banned 1", "full 1", "not_allowed 1", "share 1", "token_invalid 2", "token_missing 1"]);

    let ask = async |client: &mut Client, command: Value| client.ask(command).await["problem"]["status"].clone();
    assert_eq!(ask(&mut others[0], json!({"kind": "set-layout", "layout": {"kind": "grid"}})).await, 403);
    assert_eq!(ask(&mut host, json!({"kind": "ban", "person": "mia", "seconds": 60})).await, 409);
    for _ in 0..5 {
        ask(&mut others[0], json!({"kind": "chat", "text": "hello"})).await;
    }
    assert_eq!(ask(&mut others[0], json!({"kind": "chat", "text": "hello"})).await, 429);
    assert_eq!(ask(&mut others[0], json!({"kind": "fly"})).await, 422, "this protects nobody");
    server.stop.cancel();
    assert_eq!(others[0].closed().await, 1001);
    drop(windows.pop());
    assert_eq!(refused("demo", &anna).await, Some(503));
    let expected = [
        "banned 1",
        "conflict 1",
        "full 1",
        "not_allowed 2",
        "share 1",
        "token_invalid 2",
        "token_missing 1",
        "too_fast 1",
        "unavailable 1",
    ];
    assert_eq!(denied(), expected);
}

#[tokio::test]
async fn a_token_with_too_many_connections_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let server = Server::start(SECRET, |config| config.clients_each = 1).await;
    let anna = query("viewer", "anna");
    let _first = server.join("demo", &anna).await;
    assert_eq!(server.connect("demo", &anna).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(counted(&recorder.handle(), "onmic_denied_total"), ["share 1"]);
}

#[tokio::test]
async fn each_connection_that_the_server_closes_is_counted_once_by_its_reason() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let closed = || counted(&recorder.handle(), "onmic_closed_total");
    let server = Server::start(SECRET, |_| {}).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let join = async |person: &str| server.join("demo", &query("viewer", person)).await;

    let mut large = join("large").await;
    large.say("x".repeat(65 * 1024)).await;
    assert_eq!(large.closed().await, 1009);
    let mut binary = join("binary").await;
    binary.socket.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(binary.closed().await, 1003);
    for unmasked in [&b"\x81\x01a"[..], b"\xf1\x81\0\0\0\0a", b"\x81\x81\0\0\0\0\xff"] {
        let mut malformed = join("malformed").await;
        malformed.socket.get_mut().write_all(unmasked).await.unwrap();
        assert_eq!(malformed.closed().await, 1002, "{unmasked:?}");
    }
    let mut nonsense = join("nonsense").await;
    for _ in 0..101 {
        nonsense.say("nonsense").await;
    }
    while let Message::Text(_) = nonsense.message().await {}
    for command in [json!({"kind": "kick", "person": "ben"}), json!({"kind": "ban", "person": "ben", "seconds": 60})] {
        let mut ben = join("ben").await;
        assert_eq!(host.ask(command).await["ok"], true);
        assert_eq!(ben.closed().await, 4403);
    }
    drop(join("leaves").await);
    assert_eq!(closed(), ["banned 1", "malformed 4", "refused 1", "removed 1", "too_large 1"]);

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut expires = server.join("demo", &format!("token={}", token_until(now + 60, "viewer", "exp"))).await;
    server.standing.permits.expire(Instant::now() + Duration::from_secs(66));
    assert_eq!(expires.closed().await, 4401);
    server.rooms.apply(onmic_room::Input::End { room: "demo".parse().unwrap(), by: Actor::admin() }).unwrap();
    assert_eq!(host.closed().await, 1000);
    let mut last = join("last").await;
    server.stop.cancel();
    assert_eq!(last.closed().await, 1001);
    let expected =
        ["banned 1", "malformed 4", "over 1", "refused 1", "removed 1", "stopping 1", "token_expired 1", "too_large 1"];
    assert_eq!(closed(), expected);
}

/// Accepts one connection, which has no socket.
struct One<S>(Option<S>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Listener for One<S> {
    type Io = S;
    type Addr = ();

    async fn accept(&mut self) -> (S, ()) {
        match self.0.take() {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_closed_in_a_quiet_room() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let server = Server::start("", |_| {}).await;
    let (near, far) = tokio::io::duplex(512); // The snapshot is longer.
    let router = server.router();
    tokio::spawn(async move { axum::serve(One(Some(far)), router).await });
    let url = "ws://localhost/api/v1/rooms/demo/events";
    let (_socket, _) = tokio_tungstenite::client_async(url, near).await.unwrap();
    let closed = || counted(&recorder.handle(), "onmic_closed_total");
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(closed(), [""; 0]);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(closed(), ["slow 1"]);
    let dropped = recorder.handle().render();
    assert!(dropped.contains("onmic_drops_total{reason=\"behind_room_client\"} 1\n"), "{dropped}");
}

/// A connection whose writes may not wait, like those of the server when the write timeout is over.
struct Late(DuplexStream);

impl AsyncRead for Late {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Late {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.0).poll_write(context, bytes) {
            Poll::Pending => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            written => written,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_within_the_write_timeout_is_closed_as_slow() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let server = Server::start("", |_| {}).await;
    let (near, far) = tokio::io::duplex(512); // The snapshot is longer, and the answer to the upgrade is not.
    let router = server.router();
    tokio::spawn(async move { axum::serve(One(Some(Late(far))), router).await });
    let url = "ws://localhost/api/v1/rooms/demo/events";
    let (_socket, _) = tokio_tungstenite::client_async(url, near).await.unwrap();
    let closed = async {
        while counted(&recorder.handle(), "onmic_closed_total").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, closed).await.expect("it is closed at once");
    assert_eq!(counted(&recorder.handle(), "onmic_closed_total"), ["slow 1"]);
    let dropped = recorder.handle().render();
    assert!(dropped.contains("onmic_drops_total{reason=\"behind_room_client\"} 1\n"), "{dropped}");
}
