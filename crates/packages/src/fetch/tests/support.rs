//! Scripted servers and a scripted resolver, and a fetcher with small limits.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::collections::VecDeque;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use slipway_outbound::{Addresses, NetworkPolicy, Resolver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::error::PackageError;
use crate::fetch::{FetchLimits, Fetched, Fetcher};

/// A server that gives every request the same response and counts its connections.
pub(super) struct Server {
    pub(super) port: u16,
    connections: Arc<AtomicUsize>,
    /// The heads of the requests.
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    /// Receives a message when a client disconnects before its response is complete.
    pub(super) gone: mpsc::UnboundedReceiver<()>,
}

/// How a server responds to a request.
#[derive(Clone)]
pub(super) enum Response {
    /// Sends these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Sends the first bytes, then repeats the second ones forever.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends these bytes and then nothing, without closing the connection.
    Hold(Vec<u8>),
}

impl Server {
    pub(super) async fn start(answer: Response) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, 0, answer).await
    }

    pub(super) async fn at(address: Ipv4Addr, port: u16, answer: Response) -> Self {
        let listener = TcpListener::bind((address, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, requests) = (Arc::default(), Arc::default());
        let (notify, gone) = mpsc::unbounded_channel();
        let server = Self {
            port,
            connections: Arc::clone(&connections),
            requests: Arc::clone(&requests),
            gone,
        };
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let Some(head) = read_head(&mut socket).await else {
                    continue;
                };
                requests.lock().unwrap().push(head);
                let (response, notify) = (answer.clone(), notify.clone());
                tokio::spawn(async move {
                    if serve(&mut socket, response).await.is_err() {
                        // Fails if the test has ended.
                        let _ = notify.send(());
                    }
                });
            }
        });
        server
    }

    pub(super) async fn redirecting(to: &str) -> Self {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        Self::start(Response::Bytes(head.into_bytes())).await
    }

    pub(super) fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/dir/package?secret=word", self.port)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn read_head(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

async fn serve(socket: &mut TcpStream, answer: Response) -> std::io::Result<()> {
    match answer {
        Response::Bytes(bytes) => {
            socket.write_all(&bytes).await?;
            socket.shutdown().await
        }
        Response::Endless(head, piece) => {
            socket.write_all(&head).await?;
            loop {
                socket.write_all(&piece).await?;
            }
        }
        Response::Hold(bytes) => {
            socket.write_all(&bytes).await?;
            // A waiting client sends nothing more; end of file means that it disconnected.
            match socket.read(&mut [0]).await? {
                0 => Err(std::io::ErrorKind::BrokenPipe.into()),
                _ => Ok(()),
            }
        }
    }
}

/// A 200 response with these headers and this body.
pub(super) fn ok(headers: &str, body: &[u8]) -> Response {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n");
    Response::Bytes([head.as_bytes(), body].concat())
}

/// A resolver that returns each result once, and the last one forever.
pub(super) struct ScriptedResolver {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    pub(super) asked: AtomicUsize,
}

impl ScriptedResolver {
    pub(super) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Resolver for ScriptedResolver {
    fn addresses(&self, _: String) -> Addresses {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            0 => Vec::new(),
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        };
        Box::pin(async move { Ok(answer) })
    }
}

pub(super) fn small() -> FetchLimits {
    FetchLimits {
        size: 100_000,
        redirects: 3,
        ..FetchLimits::default()
    }
}

pub(super) fn fetcher_with(allowed: &[&str], resolver: Arc<dyn Resolver>) -> Fetcher {
    let networks = allowed.iter().map(|text| text.parse().unwrap());
    let policy = NetworkPolicy::default().public_only(networks);
    Fetcher::with(small(), policy, resolver).unwrap()
}

pub(super) fn fetcher(allowed: &[&str]) -> Fetcher {
    fetcher_with(allowed, ScriptedResolver::new(&[]))
}

/// The network to allow so that a test can reach its servers.
pub(super) const LOOPBACK: &[&str] = &["127.0.0.1/32"];

pub(super) async fn fetch(fetcher: &Fetcher, url: &str) -> Result<Fetched, PackageError> {
    let spool = std::env::temp_dir();
    fetcher
        .fetch(&url.parse().unwrap(), &spool, &mut |_| {})
        .await
}

/// Fetches a package from an allowed address. Returns it with the progress lines.
pub(super) async fn fetch_with_progress(url: &str) -> (Fetched, Vec<String>) {
    let mut progress = Vec::new();
    let mut report = |line: &str| progress.push(line.to_owned());
    let (url, spool) = (url.parse().unwrap(), std::env::temp_dir());
    let fetched = fetcher(LOOPBACK).fetch(&url, &spool, &mut report).await;
    (fetched.unwrap(), progress)
}

/// The error message, after checking that it does not contain secrets of the URL.
pub(super) async fn error_of(fetcher: &Fetcher, url: &str) -> String {
    let message = fetch(fetcher, url).await.unwrap_err().to_string();
    assert!(!message.contains("word"), "{message}");
    message
}

pub(super) fn content(fetched: &mut Fetched) -> Vec<u8> {
    let mut bytes = Vec::new();
    fetched.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, fetched.size);
    bytes
}

pub(super) fn scratch_file() -> tokio::fs::File {
    tokio::fs::File::from_std(tempfile::tempfile().unwrap())
}
