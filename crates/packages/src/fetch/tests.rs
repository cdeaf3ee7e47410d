//! Packages from real servers on loopback, which is allowed where a test says so.

mod support;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use futures_util::stream;
use tokio::net::TcpListener;

use super::*;
use crate::kind::Archive;
use support::{
    Answer, LOOPBACK, Script, Server, content, fetch, fetch_telling, fetcher, fetcher_with,
    nowhere, ok, refusal, small,
};

/// What is said of a host that nobody may be sent to.
const PRIVATE: &str = "is not at a public address";

#[tokio::test]
async fn a_package_is_fetched_from_an_allowed_address() {
    let answer = ok("Content-Type: text/plain\r\n", b"FROM scratch\n");
    let server = Server::start(answer).await;
    let url = format!("http://me:word@127.0.0.1:{}/x?secret=word", server.port);
    let (mut fetched, said) = fetch_telling(&url).await;
    assert_eq!(content(&mut fetched), b"FROM scratch\n");
    assert_eq!(fetched.kind().unwrap(), Kind::Dockerfile);
    assert_eq!(
        said,
        [format!("Fetching http://127.0.0.1:{}/x", server.port)]
    );
    let requests = server.requests.lock().unwrap();
    assert!(requests[0].contains("accept-encoding: identity\r\n"));
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_connected_to() {
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
        let message = refusal(&fetcher, &server.url(host)).await;
        assert!(message.contains(PRIVATE), "{host}: {message}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_with_a_private_address_is_not_connected_to() {
    let server = Server::start(ok("", b"secret")).await;
    let answers: &[&[&[&str]]] = &[
        &[&["127.0.0.1"]],
        &[&["::ffff:127.0.0.1"]],
        &[&["127.0.0.1", "10.0.0.1", "::1"]],
    ];
    for answer in answers {
        let fetcher = fetcher_with(&[], Script::new(answer));
        let message = refusal(&fetcher, &server.url("package.test")).await;
        let expected = "host package.test is not at a public address";
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("127.0.0.1"), "{message}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn this_hosts_own_names_are_judged_by_their_address() {
    let server = Server::start(ok("", b"secret")).await;
    let fetcher = Fetcher::new(small(), Vec::new()).unwrap();
    let message = refusal(&fetcher, &server.url("localhost")).await;
    assert!(message.contains(PRIVATE), "{message}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn of_several_addresses_only_the_admitted_are_connected_to() {
    let good = Server::start(ok("", b"FROM scratch")).await;
    let bad = Server::at(Ipv4Addr::new(127, 0, 0, 2), good.port, ok("", b"secret")).await;
    let script = Script::new(&[&["127.0.0.2", "127.0.0.1"]]);
    let fetcher = fetcher_with(LOOPBACK, script);
    let mut fetched = fetch(&fetcher, &good.url("package.test")).await.unwrap();
    assert_eq!(content(&mut fetched), b"FROM scratch");
    assert_eq!((good.connections(), bad.connections()), (1, 0));
}

#[tokio::test]
async fn a_second_answer_for_the_same_name_is_judged_as_well() {
    let first = Server::redirecting("/again").await;
    let inner = Server::at(Ipv4Addr::new(127, 0, 0, 2), first.port, ok("", b"secret")).await;
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let fetcher = fetcher_with(LOOPBACK, Arc::clone(&script) as Arc<dyn Lookup>);
    let message = refusal(&fetcher, &first.url("package.test")).await;
    assert!(message.contains(PRIVATE), "{message}");
    assert_eq!((first.connections(), inner.connections()), (1, 0));
    assert_eq!(script.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn each_package_asks_for_the_address_anew() {
    let first = Server::start(ok("", b"FROM scratch")).await;
    let inner = Server::at(Ipv4Addr::new(127, 0, 0, 2), first.port, ok("", b"secret")).await;
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let fetcher = fetcher_with(LOOPBACK, script);
    fetch(&fetcher, &first.url("package.test")).await.unwrap();
    let message = refusal(&fetcher, &first.url("package.test")).await;
    assert!(message.contains(PRIVATE), "{message}");
    assert_eq!(inner.connections(), 0);
}

#[tokio::test]
async fn a_redirect_does_not_lead_where_a_url_could_not() {
    let inner = Server::at(Ipv4Addr::new(127, 0, 0, 2), 0, ok("", b"secret")).await;
    let port = inner.port;
    for (to, expected) in [
        (format!("http://127.0.0.2:{port}/"), PRIVATE),
        (format!("//127.0.0.2:{port}/"), PRIVATE),
        (format!("http://0x7f000002:{port}/"), PRIVATE),
        (format!("http://[::ffff:127.0.0.2]:{port}/"), PRIVATE),
        (format!("http://inner.test:{port}/"), PRIVATE),
        ("http://169.254.169.254/latest".to_owned(), PRIVATE),
        ("file:///etc/passwd".to_owned(), "only http and https"),
        ("gopher://127.0.0.1/".to_owned(), "only http and https"),
        ("http://[::1".to_owned(), "no URL"),
        (String::new(), "more than 3 times"),
    ] {
        let server = Server::redirecting(&to).await;
        let fetcher = fetcher_with(LOOPBACK, Script::new(&[&["127.0.0.2"]]));
        let message = refusal(&fetcher, &server.url("127.0.0.1")).await;
        assert!(message.contains(expected), "{to}: {message}");
    }
    assert_eq!(inner.connections(), 0);
}

#[tokio::test]
async fn redirects_are_followed_and_counted() {
    let target = Server::start(ok("Content-Type: application/zip\r\n", b"PK")).await;
    let to = format!("http://127.0.0.1:{}/there?secret=word", target.port);
    let server = Server::redirecting(&to).await;
    let (fetched, said) = fetch_telling(&server.url("127.0.0.1")).await;
    assert_eq!(fetched.kind().unwrap(), Kind::Archive(Archive::Zip));
    assert_eq!(
        said[1],
        format!("Redirected to http://127.0.0.1:{}/there", target.port)
    );

    let circle = Server::redirecting("/again?secret=word").await;
    let message = refusal(&fetcher(LOOPBACK), &circle.url("127.0.0.1")).await;
    assert!(
        message.contains("it redirects more than 3 times"),
        "{message}"
    );
    assert_eq!(circle.connections(), 4);
}

#[tokio::test]
async fn an_error_page_is_no_package() {
    for (status, expected) in [
        ("404 Not Found", "404 Not Found"),
        ("500 Internal Server Error", "500"),
        ("304 Not Modified", "304"),
        ("302 Found", "it redirects to nowhere"),
    ] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::start(Answer::Bytes(head.into_bytes())).await;
        let message = refusal(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
        assert!(message.contains(expected), "{message}");
        let path = format!("http://127.0.0.1:{}/dir/package could not", server.port);
        assert!(message.contains(&path), "{message}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
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
        let answer = Answer::Endless(head.as_bytes().to_vec(), piece);
        let mut server = Server::start(answer).await;
        let message = refusal(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
        assert_eq!(message, "the package is larger than 100000 bytes");
        server.gone.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let answer = Answer::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-More: x\r\n".to_vec());
    let mut server = Server::start(answer).await;
    let message = refusal(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
    assert!(message.contains("could not be fetched"), "{message}");
    server.gone.recv().await.unwrap();
}

#[tokio::test]
async fn a_length_that_is_a_lie_is_found_out() {
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nFROM".to_vec();
    let server = Server::start(Answer::Bytes(short)).await;
    let message = refusal(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
    assert!(message.contains("the connection broke off"), "{message}");

    let long = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nFROM scratch".to_vec();
    let server = Server::start(Answer::Bytes(long)).await;
    let mut fetched = fetch(&fetcher(LOOPBACK), &server.url("127.0.0.1"))
        .await
        .unwrap();
    assert_eq!(content(&mut fetched), b"FROM");

    let two = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 8\r\n\r\nFROM".to_vec();
    let server = Server::start(Answer::Bytes(two)).await;
    let message = refusal(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
    assert!(message.contains("did not answer as it should"), "{message}");
}

#[tokio::test]
async fn a_body_is_never_decompressed_on_the_way() {
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
async fn a_server_that_falls_silent_is_left() {
    for head in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nFROM"] {
        let mut server = Server::start(Answer::Hold(head.as_bytes().to_vec())).await;
        let message = refusal(&fetcher(LOOPBACK), &server.url("127.0.0.1")).await;
        assert!(message.ends_with("nothing came for 60 s"), "{message}");
        server.gone.recv().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_left_when_its_time_is_up() {
    let limits = small();
    let url = "http://package.test/x".parse().unwrap();
    let deadline = Instant::now() + limits.total;
    let drops = stream::unfold(0, |count| async move {
        tokio::time::sleep(Duration::from_secs(50)).await;
        Some((Ok(Bytes::from_static(b"x")), count + 1))
    });
    let stored = limits.store(&url, drops, &mut nowhere(), deadline).await;
    let message = stored.unwrap_err().to_string();
    assert_eq!(message, "fetching the package took longer than 1800 s");
    assert_eq!(Instant::now(), deadline);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_left_before_its_time_is_up() {
    let limits = small();
    let url = "http://package.test/x".parse().unwrap();
    let began = Instant::now();
    let body = stream::once(async { Ok(Bytes::from_static(b"x")) }).chain(stream::pending());
    let stored = limits
        .store(&url, body, &mut nowhere(), began + limits.total)
        .await;
    assert!(matches!(
        stored,
        Err(PackageError::Stalled { seconds: 60, .. })
    ));
    assert_eq!(began.elapsed(), Duration::from_secs(60));
}

#[tokio::test]
async fn dropping_the_future_ends_the_connection() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nFROM".to_vec();
    let mut server = Server::start(Answer::Hold(head)).await;
    let fetcher = fetcher(LOOPBACK);
    let url = server.url("127.0.0.1").parse().unwrap();
    let spool = std::env::temp_dir();
    let mut say = |_: &str| {};
    let mut fetched = Box::pin(fetcher.fetch(&url, &spool, &mut say));
    let requests = Arc::clone(&server.requests);
    // Until the server was asked, and so holds its answer back.
    std::future::poll_fn(|context| {
        assert!(fetched.as_mut().poll(context).is_pending());
        match requests.lock().unwrap().is_empty() {
            true => {
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            }
            false => std::task::Poll::Ready(()),
        }
    })
    .await;
    drop(fetched);
    server.gone.recv().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_secrets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://me:word@127.0.0.1:{port}/x?secret=word");
    let message = refusal(&fetcher(LOOPBACK), &url).await;
    assert!(
        message.contains("the server could not be reached"),
        "{message}"
    );
    let message = refusal(&fetcher(LOOPBACK), "http://none.test/x?secret=word").await;
    assert!(
        message.contains("http://none.test/x could not be fetched"),
        "{message}"
    );
}

/// What another process of this test does, with a proxy in its environment.
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
