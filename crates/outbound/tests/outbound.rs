//! Connections through the local proxy, with real clients and servers on loopback.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use slipway_outbound::{
    Addresses, NetworkPolicy, Outbound, OutboundError, Resolver, SystemResolver, UpstreamProxy,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The addresses that a name resolves to, one list for each request.
struct Script(Mutex<VecDeque<Vec<IpAddr>>>);

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(parse).collect())))
    }
}

impl Resolver for Script {
    fn addresses(&self, _name: String) -> Addresses {
        let next = self.0.lock().pop_front().unwrap_or_default();
        Box::pin(async move { Ok(next) })
    }
}

/// A server that answers each connection with fixed bytes, and counts them.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answer: &str) -> Self {
        Self::at("127.0.0.1:0", answer).await
    }

    async fn at(address: &str, answer: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (Arc::clone(&connections), answer.to_owned());
        slipway_tasks::spawn("server", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.address.port())
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

fn outbound(allowed: &[&str], resolver: Arc<dyn Resolver>) -> Outbound {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rules = allowed.iter().map(|text| text.parse().unwrap()).collect();
    let policy = NetworkPolicy::new(rules, Vec::new());
    Outbound::start_with(policy, resolver, None).unwrap()
}

/// Fetches a URL through a new session. Returns its text, or why there was no connection.
async fn get(outbound: &Outbound, url: &str) -> Result<String, Option<OutboundError>> {
    let session = outbound.session();
    let client = session.http().unwrap().build().unwrap();
    let failed = |_| session.failure();
    let response = client.get(url).send().await.map_err(failed)?;
    response.text().await.map_err(failed)
}

fn refused(host: &str) -> Result<String, Option<OutboundError>> {
    Err(Some(OutboundError::Refused {
        host: host.to_owned(),
    }))
}

#[tokio::test]
async fn only_an_allowed_server_is_connected_to() {
    let server = Server::start(OK).await;
    let closed = outbound(&[], Arc::new(SystemResolver));
    for (host, shown) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0.0.0.0", "0.0.0.0"),
        ("localhost", "localhost"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("[::1]", "::1"),
        ("[::]", "::"),
        ("[64:ff9b::7f00:1]", "64:ff9b::7f00:1"),
        ("169.254.169.254", "169.254.169.254"),
    ] {
        let found = get(&closed, &server.url(host)).await;
        let found = found.map_err(|error| match error {
            // Clients spell a mapped address in several ways.
            Some(OutboundError::Refused { host }) if host.starts_with("::ffff:") => {
                Some(OutboundError::Refused {
                    host: "::ffff:127.0.0.1".to_owned(),
                })
            }
            Some(OutboundError::Refused { host }) => Some(OutboundError::Refused {
                host: host.trim_matches(['[', ']']).to_owned(),
            }),
            other => other,
        });
        assert_eq!(found, refused(shown), "{host}");
    }
    assert_eq!(server.count(), 0);
    let open = outbound(&["127.0.0.1"], Arc::new(SystemResolver));
    assert_eq!(get(&open, &server.url("127.0.0.1")).await.unwrap(), "ok");
    let text = OutboundError::Refused {
        host: "h".to_owned(),
    }
    .to_string();
    assert!(text.contains("SLIPWAY_ALLOW_NET"), "{text}");
}

#[tokio::test]
async fn a_name_is_resolved_once_for_each_connection_and_only_allowed_addresses_are_used() {
    let good = Server::start(OK).await;
    let port = good.address.port();
    let bad = Server::at(&format!("127.0.0.2:{port}"), OK).await;
    // The first answer has a forbidden address, too; the second only that.
    let script = Script::new(&[&["127.0.0.2", "127.0.0.1"], &["127.0.0.2"], &[]]);
    let outbound = outbound(&["127.0.0.1"], script);
    let url = good.url("server.test");
    assert_eq!(get(&outbound, &url).await.unwrap(), "ok");
    assert_eq!(get(&outbound, &url).await, refused("server.test"));
    let unresolved = OutboundError::Unresolved {
        host: "server.test".to_owned(),
    };
    assert_eq!(get(&outbound, &url).await, Err(Some(unresolved)));
    assert_eq!((good.count(), bad.count()), (1, 0));
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_first_request() {
    let inner = Server::at("127.0.0.2:0", OK).await;
    for to in [inner.url("127.0.0.2"), inner.url("inner.test")] {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        let outer = Server::start(&head).await;
        let outbound = outbound(&["127.0.0.1"], Script::new(&[&["127.0.0.2"]]));
        let error = get(&outbound, &outer.url("127.0.0.1")).await.unwrap_err();
        assert!(error.unwrap().is_refused(), "{to}");
    }
    assert_eq!(inner.count(), 0);
}

#[tokio::test]
async fn the_local_proxy_serves_only_open_sessions() {
    let server = Server::start(OK).await;
    let outbound = outbound(&["127.0.0.1"], Arc::new(SystemResolver));
    let session = outbound.session();
    let url = session.proxy_url();
    let address = url.rsplit_once('@').unwrap().1.to_owned();
    let get = async |proxy: String| {
        let proxy = reqwest::Proxy::all(proxy).unwrap();
        let client = reqwest::Client::builder().proxy(proxy).build().unwrap();
        client.get(server.url("127.0.0.1")).send().await
    };
    for login in ["", "0:@", "0:00@", "1:x@", "x:x@"] {
        let proxy = format!("socks5h://{login}{address}");
        assert!(get(proxy).await.is_err(), "{login}");
    }
    assert!(get(url.clone()).await.is_ok());
    drop(session);
    assert!(get(url).await.is_err());
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn closing_a_session_closes_its_connections() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let outbound = outbound(&["127.0.0.1"], Arc::new(SystemResolver));
    let session = outbound.session();
    let client = session.http().unwrap().build().unwrap();
    let request = client.get(format!("http://127.0.0.1:{port}/")).send();
    let accepted = async {
        let (mut stream, _) = silent.accept().await.unwrap();
        let mut request = [0; 64];
        let count = stream.read(&mut request).await.unwrap();
        assert!(count > 0);
        drop(session);
        stream
    };
    let (answer, mut stream) = tokio::join!(request, accepted);
    assert!(answer.is_err());
    let mut rest = Vec::new();
    // The server sees the end as well.
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_trusted_server_of_the_operator_is_allowed_with_its_port_only() {
    let (server, other) = (Server::start(OK).await, Server::start(OK).await);
    let outbound = outbound(&[], Arc::new(SystemResolver));
    let trusted = Some(("127.0.0.1".to_owned(), server.address.port()));
    let session = outbound.session_trusting(trusted);
    let client = session.http().unwrap().build().unwrap();
    let answer = client.get(server.url("127.0.0.1")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(client.get(other.url("127.0.0.1")).send().await.is_err());
    assert!(session.failure().unwrap().is_refused());
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn the_proxy_of_the_operator_is_used_except_for_its_exceptions() {
    // The proxy answers CONNECT, and then the request that is sent through it.
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://me:pw@{}", proxy.local_addr().unwrap());
    let (sender, mut requests) = tokio::sync::mpsc::unbounded_channel();
    slipway_tasks::spawn("proxy", async move {
        while let Ok((mut stream, _)) = proxy.accept().await {
            let head = read_head(&mut stream).await;
            sender.send(head).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            read_head(&mut stream).await;
            let _ = stream.write_all(OK.as_bytes()).await;
        }
    });
    let direct = Server::start(OK).await;
    let upstream = UpstreamProxy::parse(&url, "direct.test, 127.0.0.0/8").unwrap();
    let rules = vec!["127.0.0.1".parse().unwrap()];
    let policy = NetworkPolicy::new(rules, Vec::new());
    let script = Script::new(&[&[], &["127.0.0.1"], &["169.254.169.254"]]);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outbound = Outbound::start_with(policy, script, Some(upstream)).unwrap();
    // A name that only the proxy can resolve.
    assert_eq!(get(&outbound, "http://git.test:81/").await.unwrap(), "ok");
    let head = requests.recv().await.unwrap();
    assert!(
        head.starts_with("CONNECT git.test:81 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains("Proxy-Authorization: Basic bWU6cHc=\r\n"),
        "{head}"
    );
    let near = direct.url("a.direct.test");
    assert_eq!(get(&outbound, &near).await.unwrap(), "ok");
    assert_eq!(direct.count(), 1);
    let metadata = get(&outbound, "http://metadata.test/").await;
    assert_eq!(metadata, refused("metadata.test"));
    let literal = get(&outbound, "http://169.254.169.254/").await;
    assert_eq!(literal, refused("169.254.169.254"));
    assert!(requests.try_recv().is_err());
    for bad in ["https://proxy:3128", "socks5://proxy", "http://"] {
        assert!(UpstreamProxy::parse(bad, "").is_none(), "{bad}");
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn the_registry_of_an_engine_is_refused_by_its_addresses() {
    let outbound = outbound(&["127.0.0.1:5000"], Arc::new(SystemResolver));
    assert!(outbound.check_registry("127.0.0.1:5000").await.is_ok());
    // Names that do not resolve may be known to the engine's mirror.
    assert!(outbound.check_registry("registry.invalid").await.is_ok());
    for registry in [
        "127.0.0.1:5001",
        "127.0.0.1",
        "[::1]:5000",
        "localhost:2375",
    ] {
        let error = outbound.check_registry(registry).await.unwrap_err();
        assert!(error.is_refused(), "{registry}");
    }
}
