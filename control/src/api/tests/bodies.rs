//! The bodies of REST: who may send a large one, and what it costs them.

use super::claims::{SECRET, token_until};
use super::*;

/// Sends a request of this token that announces a body of `length` bytes and sends `body`. Returns the status of the answer.
async fn put(server: &Server, path: &str, token: &str, (length, body): (usize, &[u8])) -> u16 {
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "PUT /api/v1/rooms/demo/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, connection.read_exact(&mut answer)).await.expect("an answer in time").unwrap();
    String::from_utf8_lossy(&answer).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_pictures_of_somebody_who_may_not_show_them_are_not_waited_for() {
    let server = Server::start(SECRET, |_| {}).await;
    let [mia, anna] = [("host", "mia"), ("viewer", "anna")].map(|(role, sub)| token_until(4_000_000_000, role, sub));
    let _host = server.join("demo", &format!("token={mia}")).await;
    let _viewer = server.join("demo", &format!("token={anna}")).await;
    assert_eq!(put(&server, "overlays", &anna, (3 << 20, b"")).await, 403);
    let none = br#"{"overlays":[]}"#;
    assert_eq!(put(&server, "overlays", &mia, (none.len(), none)).await, 200);
}

#[tokio::test]
async fn a_body_pays_by_its_bytes_as_a_message_over_the_websocket_does() {
    let server = Server::start(SECRET, |_| {}).await;
    let mia = token_until(4_000_000_000, "host", "mia");
    let _host = server.join("demo", &format!("token={mia}")).await;
    let mut body = br#"{"kind":"nonsense"}"#.to_vec();
    body.resize(64 << 10, b' ');
    let mut read = 0;
    // Without a price of their own 500 of them are read at once.
    while read < 400 {
        match put(&server, "layout", &mia, (body.len(), &body)).await {
            422 => read += 1,
            refused => {
                assert_eq!(refused, 429);
                break;
            }
        }
    }
    assert!((100..400).contains(&read), "{read}");
}
