//! Servers and a resolver that answer as a test says, and a fetcher with small limits.

use std::collections::VecDeque;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::error::PackageError;
use crate::fetch::resolver::{Addresses, Lookup};
use crate::fetch::{FetchLimits, Fetched, Fetcher};

/// A server that answers every request in one way, and counts its connections.
pub(super) struct Server {
    pub(super) port: u16,
    connections: Arc<AtomicUsize>,
    /// The heads of the requests.
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    /// Told when a client has gone before its answer was whole.
    pub(super) gone: mpsc::UnboundedReceiver<()>,
}

/// What a server does when it was asked.
#[derive(Clone)]
pub(super) enum Answer {
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Sends these bytes, and then for ever the same piece.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends these bytes, and then nothing for ever.
    Hold(Vec<u8>),
}

impl Server {
    pub(super) async fn start(answer: Answer) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, 0, answer).await
    }

    pub(super) async fn at(address: Ipv4Addr, port: u16, answer: Answer) -> Self {
        let listener = TcpListener::bind((address, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, requests) = (Arc::default(), Arc::default());
        let (tell, gone) = mpsc::unbounded_channel();
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
                let (answer, tell) = (answer.clone(), tell.clone());
                tokio::spawn(async move {
                    if serve(&mut socket, answer).await.is_err() {
                        // A test that does not listen is over.
                        let _ = tell.send(());
                    }
                });
            }
        });
        server
    }

    pub(super) async fn redirecting(to: &str) -> Self {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        Self::start(Answer::Bytes(head.into_bytes())).await
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

async fn serve(socket: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Bytes(bytes) => {
            socket.write_all(&bytes).await?;
            socket.shutdown().await
        }
        Answer::Endless(head, piece) => {
            socket.write_all(&head).await?;
            loop {
                socket.write_all(&piece).await?;
            }
        }
        Answer::Hold(bytes) => {
            socket.write_all(&bytes).await?;
            // Nothing more comes from a client that waits, and nothing at all when it has gone.
            match socket.read(&mut [0]).await? {
                0 => Err(std::io::ErrorKind::BrokenPipe.into()),
                _ => Ok(()),
            }
        }
    }
}

/// An answer with these headers and this body.
pub(super) fn ok(headers: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n");
    Answer::Bytes([head.as_bytes(), body].concat())
}

/// A resolver that gives each answer once, and the last one for ever.
pub(super) struct Script {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    pub(super) asked: AtomicUsize,
}

impl Script {
    pub(super) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Lookup for Script {
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

pub(super) fn fetcher_with(allowed: &[&str], lookup: Arc<dyn Lookup>) -> Fetcher {
    let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
    Fetcher::with(small(), allowed, lookup).unwrap()
}

pub(super) fn fetcher(allowed: &[&str]) -> Fetcher {
    fetcher_with(allowed, Script::new(&[]))
}

/// The addresses that are allowed where a test's servers are to be reached.
pub(super) const LOOPBACK: &[&str] = &["127.0.0.1/32"];

pub(super) async fn fetch(fetcher: &Fetcher, url: &str) -> Result<Fetched, PackageError> {
    let spool = std::env::temp_dir();
    fetcher
        .fetch(&url.parse().unwrap(), &spool, &mut |_| {})
        .await
}

/// A package from an allowed address, and what is said on the way.
pub(super) async fn fetch_telling(url: &str) -> (Fetched, Vec<String>) {
    let mut said = Vec::new();
    let mut say = |line: &str| said.push(line.to_owned());
    let (url, spool) = (url.parse().unwrap(), std::env::temp_dir());
    let fetched = fetcher(LOOPBACK).fetch(&url, &spool, &mut say).await;
    (fetched.unwrap(), said)
}

/// The message of the error, which never has the URL's query.
pub(super) async fn refusal(fetcher: &Fetcher, url: &str) -> String {
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

/// A file that is gone with the test.
pub(super) fn nowhere() -> tokio::fs::File {
    tokio::fs::File::from_std(tempfile::tempfile().unwrap())
}
