//! Following a trace from a server that closes its connections.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]
#![expect(clippy::unwrap_used, reason = "a test fails on an unexpected value")]

use futures_util::{StreamExt, TryStreamExt};
use slipway_client::{Client, ClientError, TraceEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// Answers each connection with the next of `responses` and closes it. Returns the requests.
async fn serve(listener: TcpListener, responses: Vec<String>) -> Vec<String> {
    let mut requests = Vec::new();
    for response in responses {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(peer.read_u8().await.unwrap());
        }
        requests.push(String::from_utf8(request).unwrap().to_lowercase());
        peer.write_all(response.as_bytes()).await.unwrap();
        peer.shutdown().await.unwrap();
    }
    requests
}

async fn start() -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, Client::new(&url, "slpat-1").unwrap())
}

fn chunk(offset: u64, base64: &str) -> String {
    format!("event: chunk\nid: 0\ndata: {{\"offset\":{offset},\"base64\":\"{base64}\"}}\n\n")
}

#[tokio::test]
async fn a_broken_stream_is_resumed_after_the_last_complete_event() {
    let (listener, client) = start().await;
    let cut = chunk(3, "ZGVm");
    let busy = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let end = "event: end\nid: 6\ndata: {\"state\":\"succeeded\"}\n\n";
    let responses = vec![
        format!("{HEAD}{}{}", chunk(0, "YWJj"), &cut[..20]),
        busy.to_owned(),
        format!("{HEAD}{}{end}", chunk(0, "YWJjZGVm")),
    ];
    let server = tokio::spawn(serve(listener, responses));
    let events: Vec<TraceEvent> = client.follow_trace(7, 0).try_collect().await.unwrap();
    let text: Vec<u8> = events
        .iter()
        .flat_map(|event| match event {
            TraceEvent::Chunk { bytes, .. } => bytes.to_vec(),
            TraceEvent::End { .. } => Vec::new(),
        })
        .collect();
    assert_eq!(text, b"abcdef");
    let state = "succeeded".to_owned();
    assert_eq!(events.last(), Some(&TraceEvent::End { state }));
    let requests = server.await.unwrap();
    assert!(requests[0].starts_with("get /v1/jobs/7/trace/stream http/1.1"));
    assert!(requests[0].contains("authorization: bearer slpat-1"));
    let from: Vec<bool> = ["0", "3", "3"]
        .iter()
        .zip(&requests)
        .map(|(id, request)| request.contains(&format!("last-event-id: {id}\r\n")))
        .collect();
    assert_eq!(from, [true; 3]);
}

#[tokio::test]
async fn a_404_ends_the_stream_with_the_message_of_the_farm() {
    let (listener, client) = start().await;
    let body = r#"{"error":{"code":"not_found","message":"no such job"}}"#;
    let response = format!(
        "HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let server = tokio::spawn(serve(listener, vec![response]));
    let events: Vec<Result<TraceEvent, ClientError>> = client.follow_trace(7, 0).collect().await;
    assert_eq!(events.len(), 1);
    let error = events.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "no such job");
    server.await.unwrap();
}
