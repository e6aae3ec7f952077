//! Tests the server on loopback with clients that say little, too much, or nothing.

use std::io;

use axum::body::Bytes;
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusBuilder;
use onmic_listen::TrustedProxies;
use onmic_media::Permits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

mod strangers;
mod unread;

const PATIENCE: Duration = Duration::from_secs(20);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    /// Hears of endless answers that have ended, and of bodies that have arrived.
    ended: mpsc::UnboundedReceiver<()>,
    /// The permits of answers that are held.
    permits: Arc<Permits>,
}

impl Running {
    async fn start(connections: Limits, header_timeout: Duration) -> Self {
        let write_timeout = PATIENCE;
        Self::limited(HttpLimits { connections, pace: None, lane: 2, header_timeout, write_timeout, drain: PATIENCE })
            .await
    }

    async fn with(connections: Limits, write_timeout: Duration) -> Self {
        let header_timeout = PATIENCE;
        Self::limited(HttpLimits { connections, pace: None, lane: 2, header_timeout, write_timeout, drain: PATIENCE })
            .await
    }

    async fn limited(limits: HttpLimits) -> Self {
        let (told, ended) = mpsc::unbounded_channel();
        let permits = Arc::new(Permits::default());
        let open = {
            let permits = permits.clone();
            move || permits.open(unread::grant())
        };
        let (held, arrived, open_too, open_again) = (told.clone(), told.clone(), open.clone(), open.clone());
        let all = Router::new()
            .route("/", get(|| async { "a place" }))
            .route("/stay", get(stay))
            .route("/body", post(async move |_: Bytes| strangers::has_arrived(arrived).await))
            .route("/kept", post(strangers::keeps_body(Arc::default())))
            .route("/long", get(unread::long))
            .route("/some", get(unread::some))
            .route("/endless", get(async move || unread::endless(told)))
            .route("/held", get(async move || held_by(open(), Response::new(unread::endless(held)))))
            .route("/held/stay", get(async move || held_by(open_too(), Response::new(stay().await))))
            .route("/held/piece", get(async move || held_by(open_again(), Response::new(unread::piece()))))
            .route("/large", get(async || Bytes::from(vec![0; 64 << 20])));
        let routes = Routes { all, when_full: Router::new().route("/", get(|| async { "the lane" })) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let serving = tokio::spawn(serve(listener, None, limits, TrustedProxies::default(), routes, stop.clone()));
        Self { address, stop, serving, ended, permits }
    }

    async fn dial(&self, said: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        stream
    }
}

/// Answers with a body that does not end.
async fn stay() -> Body {
    let begun = futures::stream::once(async { Ok::<_, io::Error>(Bytes::from_static(b"it stays")) });
    Body::from_stream(futures::StreamExt::chain(begun, futures::stream::pending()))
}

/// Reads until `wanted` was said. Returns what was said if the server closes before.
async fn hear(stream: &mut TcpStream, wanted: &str) -> String {
    let mut heard = Vec::new();
    let hearing = async {
        while !String::from_utf8_lossy(&heard).contains(wanted) {
            let mut bytes = [0; 4096];
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(length) => heard.extend_from_slice(&bytes[..length]),
            }
        }
    };
    timeout(PATIENCE, hearing).await.expect("an answer or the end in time");
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn a_connection_that_brings_no_request_is_closed_and_counted_whatever_it_has_said() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = Running::start(Limits { all: 20, per_address: 20 }, Duration::from_millis(300)).await;
    let said = [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
    ];
    for said in said {
        let mut silent = server.dial(said).await;
        hear(&mut silent, "never said").await;
    }
    let line = format!("onmic_drops_total{{reason=\"http_header_timeout\"}} {}\n", said.len());
    assert!(counted.render().contains(&line), "{}", counted.render());
    let line = format!("onmic_closed_total{{protocol=\"http\",reason=\"setup_timeout\"}} {}\n", said.len());
    assert!(counted.render().contains(&line), "{}", counted.render());
}

#[tokio::test]
async fn a_connection_that_says_a_byte_from_time_to_time_has_the_same_deadline() {
    let server = Running::start(Limits { all: 20, per_address: 20 }, Duration::from_millis(300)).await;
    let mut slow = server.dial(b"GET / HTTP/1.1\r\n").await;
    let dripping = async {
        while slow.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await
        }
    };
    timeout(PATIENCE, dripping).await.expect("the server closes");
}

#[tokio::test]
async fn a_silent_connection_gives_its_place_to_one_that_asks() {
    let server = Running::start(Limits { all: 2, per_address: 2 }, PATIENCE).await;
    let mut silent = server.dial(b"").await;
    let mut first = server.dial(REQUEST).await;
    assert!(hear(&mut first, "a place").await.contains("a place"));
    let mut second = server.dial(REQUEST).await;
    assert!(hear(&mut second, "a place").await.contains("a place"));
    assert_eq!(hear(&mut silent, "never said").await, "");
}

#[tokio::test]
async fn a_connection_that_was_answered_is_idle_and_gives_its_place_too() {
    let server = Running::start(Limits { all: 1, per_address: 1 }, PATIENCE).await;
    let mut first = server.dial(REQUEST).await;
    assert!(hear(&mut first, "a place").await.contains("a place"));
    // The server may be about to notice that its answer is written. Until then the lane answers.
    let taken = async {
        loop {
            let mut second = server.dial(REQUEST).await;
            if hear(&mut second, "e").await.contains("a place") {
                break;
            }
        }
    };
    timeout(PATIENCE, taken).await.expect("the place of the idle connection");
    assert_eq!(hear(&mut first, "never said").await, "");
}

#[tokio::test]
async fn where_all_places_are_busy_the_lane_answers_once() {
    for limits in [Limits { all: 1, per_address: 10 }, Limits { all: 10, per_address: 1 }] {
        let server = Running::start(limits, PATIENCE).await;
        let mut first = server.dial(b"GET /stay HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(hear(&mut first, "it stays").await.contains("it stays"));
        let mut second = server.dial(&REQUEST.repeat(2)).await;
        let heard = hear(&mut second, "never said").await;
        assert_eq!(heard.matches("the lane").count(), 1, "{heard}");
        drop(first);
        // The server notices the end of the first connection when it reads it.
        let again = async {
            loop {
                let mut third = server.dial(REQUEST).await;
                if hear(&mut third, "a place").await.contains("a place") {
                    break;
                }
            }
        };
        timeout(PATIENCE, again).await.expect("the place is free again");
    }
}

#[tokio::test]
async fn requests_in_a_row_are_answered_one_in_each_turn() {
    const REQUESTS: usize = 40;
    let turns = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = turns.clone();
    let handler = get(async move || {
        seen.lock().unwrap().push("request");
        "done"
    });
    let routes = Routes { all: Router::new().route("/", handler), when_full: Router::new() };
    let limits = HttpLimits {
        connections: Limits { all: 2, per_address: 2 },
        pace: None,
        lane: 1,
        header_timeout: PATIENCE,
        write_timeout: PATIENCE,
        drain: PATIENCE,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let serving = tokio::spawn(serve(listener, None, limits, TrustedProxies::default(), routes, stop.clone()));
    // The runtime of this test has one thread, so another task that is always ready runs once for each turn.
    let (others, until) = (turns.clone(), stop.clone());
    let bystander = tokio::spawn(async move {
        while !until.is_cancelled() {
            others.lock().unwrap().push("other");
            yield_now().await;
        }
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&REQUEST.repeat(REQUESTS)).await.unwrap();
    let mut answers = 0;
    while answers < REQUESTS {
        answers += hear(&mut stream, "done").await.matches("done").count();
    }
    stop.cancel();
    drop(stream);
    serving.await.unwrap();
    bystander.await.unwrap();
    let turns = turns.lock().unwrap();
    let first = turns.iter().position(|one| *one == "request").unwrap();
    let last = turns.iter().rposition(|one| *one == "request").unwrap();
    let others = turns[first..last].iter().filter(|one| **one == "other").count();
    assert!(others >= REQUESTS / 2, "others had {others} turns during {REQUESTS} requests");
}

#[tokio::test]
async fn the_server_ends_when_its_connections_have() {
    let server = Running::start(Limits { all: 20, per_address: 20 }, PATIENCE).await;
    let mut idle = server.dial(REQUEST).await;
    assert!(hear(&mut idle, "a place").await.contains("a place"));
    server.stop.cancel();
    timeout(PATIENCE, server.serving).await.expect("an idle connection holds nobody up").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
