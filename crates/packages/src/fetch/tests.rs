//! Tests with real servers on loopback, which each test has to allow.

mod support;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use futures_util::stream;
use tokio::net::TcpListener;

use super::*;
use crate::kind::Archive;
use support::{
    LOOPBACK, Response, ScriptedResolver, Server, content, error_of, fetch, fetch_with_progress,
    fetcher, fetcher_with, ok, scratch_file, small,
};

/// The message for a host without a public address.
const NOT_PUBLIC: &str = "is not at a public address";

#[tokio::test]
async fn a_package_is_fetched_from_an_allowed_address() {
    let answer = ok("Content-Type: text/plain\r\n", b"FROM scratch\n");
    let server = Server::start(answer).await;
    let url = format!("http://me:word@127.0.0.1:{}/x?secret=word", server.port);
    let (mut fetched, progress) = fetch_with_progress(&url).await;
    assert_eq!(content(&mut fetched), b"FROM scratch\n");
    assert_eq!(fetched.kind().unwrap(), Kind::Dockerfile);
    assert_eq!(
        progress,
        [format!("Fetching http://127.0.0.1:{}/x", server.port)]
    );
    let requests = server.requests.lock().unwrap();
    assert!(requests[0].contains("accept-encoding: identity\r\n"));
}

#[tokio::test]
async fn every_spelling_of_a_private_address_is_refused() {
    let server = Server::start(ok("", b"secret")).await;
    let fetcher = fetcher(&["192.168.7.0/24"]);
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0x7f000001",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "0177.0.0.01",
        "0",
        "0.0.0.0",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "100.64.0.1",
        "192.168.0.1",
    ] {
        let message = error_of(&fetcher, &server.url(host)).await;
        assert!(message.contains(NOT_PUBLIC), "{host}: {message}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused() {
    let server = Server::start(ok("", b"secret")).await;
    let answers: &[&[&[&str]]] = &[
        &[&["127.0.0.1"]],
        &[&["::ffff:127.0.0.1"]],
        &[&["127.0.0.1", "10.0.0.1", "::1"]],
    ];
    for answer in answers {
        let fetcher = fetcher_with(&[], ScriptedResolver::new(answer));
        let message = error_of(&fetcher, &server.url("package.test")).await;
        let expected = "host package.test is not at a public address";
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("127.0.0.1"), "{message}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn localhost_is_refused_by_its_address() {
    let server = Server::start(ok("", b"secret")).await;
    let fetcher = Fetcher::new(small(), NetworkPolicy::default().public_only([])).unwrap();
    let message = error_of(&fetcher, &server.url("localhost")).await;
    assert!(message.contains(NOT_PUBLIC), "{message}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn only_the_allowed_addresses_of_a_name_are_used() {
    let good = Server::start(ok("", b"FROM scratch")).await;
    let bad = Server::at(Ipv4Addr::new(127, 0, 0, 2), good.port, ok("", b"secret")).await;
    let script = ScriptedResolver::new(&[&["127.0.0.2", "127.0.0.1"]]);
    let fetcher = fetcher_with(LOOPBACK, script);
    let mut fetched = fetch(&fetcher, &good.url("package.test")).await.unwrap();
    assert_eq!(content(&mut fetched), b"FROM scratch");
    assert_eq!((good.connections(), bad.connections()), (1, 0));
}

#[tokio::test]
async fn a_name_is_resolved_and_checked_again_after_a_redirect() {
    let first = Server::redirecting("/again").await;
    let inner = Server::at(Ipv4Addr::new(127, 0, 0, 2), first.port, ok("", b"secret")).await;
    let script = ScriptedResolver::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let fetcher = fetcher_with(LOOPBACK, Arc::clone(&script) as Arc<dyn Resolver>);
    let message = error_of(&fetcher, &first.url("package.test")).await;
    assert!(message.contains(NOT_PUBLIC), "{message}");
    assert_eq!((first.connections(), inner.connections()), (1, 0));
    assert_eq!(script.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_name_is_resolved_and_checked_again_for_each_package() {
    let first = Server::start(ok("", b"FROM scratch")).await;
    let inner = Server::at(Ipv4Addr::new(127, 0, 0, 2), first.port, ok("", b"secret")).await;
    let script = ScriptedResolver::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let fetcher = fetcher_with(LOOPBACK, script);
    fetch(&fetcher, &first.url("package.test")).await.unwrap();
    let message = error_of(&fetcher, &first.url("package.test")).await;
    assert!(message.contains(NOT_PUBLIC), "{message}");
    assert_eq!(inner.connections(), 0);
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_url_is_refused() {
    let inner = Server::at(Ipv4Addr::new(127, 0, 0, 2), 0, ok("", b"secret")).await;
    let port = inner.port;
    for (to, expected) in [
        (format!("http://127.0.0.2:{port}/"), NOT_PUBLIC),
        (format!("//127.0.0.2:{port}/"), NOT_PUBLIC),
        (format!("http://0x7f000002:{port}/"), NOT_PUBLIC),
        (format!("http://[::ffff:127.0.0.2]:{port}/"), NOT_PUBLIC),
        (format!("http://inner.test:{port}/"), NOT_PUBLIC),
        ("http://169.254.169.254/latest".to_owned(), NOT_PUBLIC),
        ("file:///etc/passwd".to_owned(), "only http and https"),
        ("gopher://127.0.0.1/".to_owned(), "only http and https"),
        ("http://[::1".to_owned(), "invalid URL"),
        (String::new(), "more than 3 times"),
    ] {
        let server = Server::redirecting(&to).await;
        let fetcher = fetcher_with(LOOPBACK, ScriptedResolver::new(&[&["127.0.0.2"]]));
        let message = error_of(&fetcher, &server.url("127.0.0.1")).await;
        assert!(message.contains(expected), "{to}: {message}");
    }
    assert_eq!(inner.connections(), 0);
}

#[tokio::test]
async fn redirects_are_followed_up_to_the_limit() {
    let target = Server::start(ok("Content-Type: application/zip\r\n", b"PK")).await;
    let to = format!("http://127.0.0.1:{}/there?secret=word", target.port);
    let server = Server::redirecting(&to).await;
    let (fetched, progress) = fetch_with_progress(&server.url("127.0.0.1")).await;
    assert_eq!(fetched.kind().unwrap(), Kind::Archive(Archive::Zip));
    assert_eq!(
        progress[1],
        format!("Redirected to http://127.0.0.1:{}/there", target.port)
    );

    let endless = Server::redirecting("/again?secret=word").await;
    let message = error_of(&fetcher(LOOPBACK), &endless.url("127.0.0.1")).await;
    assert!(
        message.contains("it redirects more than 3 times"),
        "{message}"
    );
    assert_eq!(endless.connections(), 4);
}

#[tokio::test]
async fn an_error_status_fails_with_the_status() {
    for (status, expected) in [
        ("404 Not Found", "404 Not Found"),
        ("500 Internal Server Error", "500"),
        ("304 Not Modified", "304"),
        ("302 Found", "it redirects without a location"),
    ] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::start(Response::Bytes(head.into_bytes())).await;
        let message = error_of(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
        assert!(message.contains(expected), "{message}");
        let path = format!(
            "could not fetch the package http://127.0.0.1:{}/dir/package: ",
            server.port
        );
        assert!(message.contains(&path), "{message}");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_size_limit() {
    let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 5000]),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            chunk,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n",
            vec![b'x'; 10],
        ),
    ] {
        let answer = Response::Endless(head.as_bytes().to_vec(), piece);
        let mut server = Server::start(answer).await;
        let message = error_of(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
        assert_eq!(message, "the package is larger than 100000 bytes");
        server.gone.recv().await.unwrap();
    }
}

#[tokio::test]
async fn an_endless_response_head_is_refused() {
    let answer = Response::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-More: x\r\n".to_vec());
    let mut server = Server::start(answer).await;
    let message = error_of(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
    assert!(message.contains("could not fetch"), "{message}");
    server.gone.recv().await.unwrap();
}

#[tokio::test]
async fn a_wrong_content_length_is_detected() {
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nFROM".to_vec();
    let server = Server::start(Response::Bytes(short)).await;
    let message = error_of(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
    assert!(
        message.contains("the connection was interrupted"),
        "{message}"
    );

    let long = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nFROM scratch".to_vec();
    let server = Server::start(Response::Bytes(long)).await;
    let mut fetched = fetch(&fetcher(LOOPBACK), &server.url("127.0.0.1"))
        .await
        .unwrap();
    assert_eq!(content(&mut fetched), b"FROM");

    let two = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 8\r\n\r\nFROM".to_vec();
    let server = Server::start(Response::Bytes(two)).await;
    let message = error_of(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
    assert!(message.contains("sent an invalid response"), "{message}");
}

#[tokio::test]
async fn a_body_is_stored_without_decompression() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 10 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    for headers in [
        "Content-Encoding: gzip\r\n",
        "Content-Type: application/gzip\r\n",
    ] {
        let server = Server::start(ok(headers, &bomb)).await;
        let mut fetched = fetch(&fetcher(LOOPBACK), &server.url("127.0.0.1"))
            .await
            .unwrap();
        assert_eq!(content(&mut fetched), bomb);
        assert_eq!(fetched.kind().unwrap(), Kind::Archive(Archive::TarGz));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_times_out() {
    for head in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nFROM"] {
        let mut server = Server::start(Response::Hold(head.as_bytes().to_vec())).await;
        let message = error_of(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
        assert!(message.ends_with("sent nothing for 60 s"), "{message}");
        server.gone.recv().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_fails_at_the_total_time_limit() {
    let limits = small();
    let url = "http://package.test/x".parse().unwrap();
    let deadline = Instant::now() + limits.total;
    let slow_body = stream::unfold(0, |count| async move {
        tokio::time::sleep(Duration::from_secs(50)).await;
        Some((Ok(Bytes::from_static(b"x")), count + 1))
    });
    let stored = limits
        .store(&url, slow_body, &mut scratch_file(), deadline)
        .await;
    let message = stored.unwrap_err().to_string();
    assert_eq!(message, "fetching the package took longer than 1800 s");
    assert_eq!(Instant::now(), deadline);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_fails_at_the_idle_time_limit() {
    let limits = small();
    let url = "http://package.test/x".parse().unwrap();
    let started = Instant::now();
    let body = stream::once(async { Ok(Bytes::from_static(b"x")) }).chain(stream::pending());
    let stored = limits
        .store(&url, body, &mut scratch_file(), started + limits.total)
        .await;
    assert!(matches!(
        stored,
        Err(PackageError::Stalled { seconds: 60, .. })
    ));
    assert_eq!(started.elapsed(), Duration::from_secs(60));
}

#[tokio::test]
async fn dropping_the_future_closes_the_connection() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nFROM".to_vec();
    let mut server = Server::start(Response::Hold(head)).await;
    let fetcher = fetcher(LOOPBACK);
    let url = server.url("127.0.0.1").parse().unwrap();
    let spool = std::env::temp_dir();
    let mut report = |_: &str| {};
    let mut fetched = Box::pin(fetcher.fetch(&url, &spool, &mut report));
    let requests = Arc::clone(&server.requests);
    // Poll until the server has received the request, which it does not answer.
    std::future::poll_fn(|context| {
        assert!(fetched.as_mut().poll(context).is_pending());
        if requests.lock().unwrap().is_empty() {
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    drop(fetched);
    server.gone.recv().await.unwrap();
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_secrets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://me:word@127.0.0.1:{port}/x?secret=word");
    let message = error_of(&fetcher(LOOPBACK), &url).await;
    assert!(
        message.contains("the server could not be reached"),
        "{message}"
    );
    let message = error_of(&fetcher(LOOPBACK), "http://none.test/x?secret=word").await;
    assert!(
        message.contains("could not fetch the package http://none.test/x"),
        "{message}"
    );
}

/// Set for the child process of this test, which has a proxy in its environment.
const CHILD: &str = "SLIPWAY_TEST_PACKAGES_CHILD";

#[tokio::test]
async fn a_proxy_in_the_environment_is_not_used() {
    if let Ok(url) = std::env::var(CHILD) {
        let fetched = fetch(&fetcher(LOOPBACK), &url).await;
        assert_eq!(content(&mut fetched.unwrap()), b"FROM scratch");
        return;
    }
    let server = Server::start(ok("", b"FROM scratch")).await;
    let proxy = Server::start(ok("", b"by proxy")).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child
        .args([
            "--exact",
            "fetch::tests::a_proxy_in_the_environment_is_not_used",
        ])
        .env(CHILD, server.url("127.0.0.1"));
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, format!("http://127.0.0.1:{}", proxy.port));
    }
    let output = child.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    assert_eq!((server.connections(), proxy.connections()), (1, 0));
}
