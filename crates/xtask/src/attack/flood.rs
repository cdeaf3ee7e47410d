//! Bodies that never end, and clients that send as much as they can.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::matrix::Matrix;
use super::targets::Targets;
use crate::trials::farm::Farm;
use crate::trials::http::{Http, once};

/// When a connection whose body stopped is closed at the latest. The farm of the attack waits a second
/// for progress.
const CLOSED: Duration = Duration::from_secs(20);
/// Connections with half a body at the same time.
const HALF_BODIES: usize = 50;
/// Clients that flood the farm.
const CLIENTS: usize = 50;
/// What each of them sends, in bytes.
const GARBAGE_BYTES: usize = 64_000_000;
/// When the flood ends, even if not everything is sent.
const FLOOD: Duration = Duration::from_secs(30);
/// The limit of the coordinator's resident memory, in MiB.
const MAX_RESIDENT_MIB: u64 = 200;
/// Requests whose times are measured without the flood.
const IDLE_REQUESTS: usize = 500;
/// How much of each request a [`Refuser`] reads, in bytes: as much as the farm reads of a body before it
/// knows the sender.
const REFUSED_BYTES: usize = 64 << 10;

/// Sends the head of each request with a body, and half of the body; returns the number of connections.
///
/// # Errors
/// If one is not answered and closed.
pub(super) async fn half_bodies(farm: &Farm, matrix: &Matrix, targets: &Targets) -> Result<usize> {
    let owner = &targets.credentials["namespace-owner"];
    let mut heads = Vec::new();
    for row in matrix.rows.iter().filter(|row| row.method != "GET") {
        for credential in [None, Some(owner)] {
            let path = super::access::fill(row.path, targets)?;
            let token = credential.map(|token| format!("PRIVATE-TOKEN: {token}\r\n"));
            heads.push(format!(
                "{} {path} HTTP/1.1\r\nHost: farm\r\n{}Content-Type: application/json\r\n\
                 Content-Length: 1000\r\n\r\n{{\"a\":",
                row.method,
                token.unwrap_or_default()
            ));
        }
    }
    let port = farm.port();
    let number = heads.len();
    for some in heads.chunks(HALF_BODIES) {
        let answers = some.iter().map(async |head| {
            let first = head.lines().next().unwrap_or_default().to_owned();
            let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
            connection.write_all(head.as_bytes()).await?;
            let mut answer = Vec::new();
            let read = timeout(CLOSED, connection.read_to_end(&mut answer)).await;
            // A reset after the answer is fine: the farm does not read the rest.
            let _ = read.with_context(|| format!("{first}: the connection stays open"))?;
            ensure!(
                answer.starts_with(b"HTTP/1.1 ") && !answer.starts_with(b"HTTP/1.1 500"),
                "{first}: {:?}",
                String::from_utf8_lossy(&answer)
            );
            Ok(())
        });
        let answers: Result<Vec<()>> = join_all(answers).await.into_iter().collect();
        answers?;
    }
    Ok(number)
}

/// The results of a flood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// The resident memory before it, in MiB.
    pub(super) before_mib: u64,
    /// The highest resident memory during it, in MiB.
    pub(super) peak_mib: u64,
    pub(super) idle: Duration,
    /// While the same clients flood a listener that does nothing but refuse them: what the flood itself
    /// takes from the processors of this machine.
    pub(super) elsewhere: Duration,
    pub(super) attacked: Duration,
    /// How many requests were measured during the flood of the farm.
    pub(super) requests: usize,
    /// How many bytes the flood sent.
    pub(super) sent: usize,
    pub(super) took: Duration,
}

/// Measures memory and the 99th percentile of other requests while 50 clients send garbage, first to a
/// [`Refuser`], then to the farm.
///
/// # Errors
/// If a request of others fails, or the coordinator uses more memory than it may.
pub(super) async fn garbage(farm: &Farm, http: &Http, targets: &Targets) -> Result<Measured> {
    let owner = &targets.credentials["namespace-owner"];
    let requests = [
        "POST /api/v3/projects HTTP/1.1\r\nContent-Type: application/json".to_owned(),
        "PUT /ci/api/v1/builds/1 HTTP/1.1\r\nContent-Type: application/json".to_owned(),
        "POST /ci/api/v1/builds/1/artifacts HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b"
            .to_owned(),
        "POST /hooks/github HTTP/1.1\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256=00".to_owned(),
        format!("POST /v1/projects HTTP/1.1\r\nContent-Type: application/json\r\nPRIVATE-TOKEN: {owner}"),
        format!("POST /api/v3/projects HTTP/1.1\r\nPRIVATE-TOKEN: {owner}"),
        format!("POST /builds HTTP/1.1\r\nAuthorization: Bearer {owner}"),
        format!("POST /api/v0/organizations HTTP/1.1\r\nAuthorization: Bearer {owner}"),
    ];
    let mut idle = Vec::new();
    for _ in 0..IDLE_REQUESTS {
        idle.push(one_request(http).await?);
    }
    let process = farm.coordinator()?;
    let before_mib = resident_mib(process)?;
    let refuser = Refuser::start()?;
    let elsewhere = during_flood(refuser.port, &requests, http, process).await?;
    drop(refuser);
    let start = Instant::now();
    let attacked = during_flood(farm.port(), &requests, http, process).await?;
    let took = start.elapsed();
    let peak_mib = attacked.peak_mib.max(before_mib);
    ensure!(
        peak_mib < MAX_RESIDENT_MIB,
        "the coordinator used {peak_mib} MiB; the limit is {MAX_RESIDENT_MIB} MiB"
    );
    Ok(Measured {
        before_mib,
        peak_mib,
        idle: percentile_99(idle),
        elsewhere: percentile_99(elsewhere.times),
        requests: attacked.times.len(),
        attacked: percentile_99(attacked.times),
        sent: attacked.sent,
        took,
    })
}

/// What was measured during one flood.
struct During {
    times: Vec<Duration>,
    peak_mib: u64,
    sent: usize,
}

/// Sends requests of others to the farm, one after the other, while the server on `port` is flooded.
async fn during_flood(port: u16, requests: &[String], http: &Http, process: u32) -> Result<During> {
    let requests = requests.to_vec();
    // In a thread of its own: the times of other requests must not contain the work of the flood.
    let flood = std::thread::spawn(move || flood(port, &requests));
    let (mut times, mut peak_mib) = (Vec::new(), 0);
    while !flood.is_finished() {
        times.push(one_request(http).await?);
        peak_mib = peak_mib.max(resident_mib(process)?);
    }
    let sent = flood.join().ok().context("the flood failed")??;
    Ok(During {
        times,
        peak_mib,
        sent,
    })
}

/// A listener that reads the first bytes of each connection, refuses the request, and closes the
/// connection. It ends when it is dropped.
struct Refuser {
    port: u16,
    _stop: oneshot::Sender<()>,
}

impl Refuser {
    fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                tokio::select! {
                    _ = stopped => Ok(()),
                    () = refuse_all(&listener) => Ok(()),
                }
            })
        });
        Ok(Self { port, _stop: stop })
    }
}

async fn refuse_all(listener: &TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((connection, _)) = accepted {
                connections.spawn(refuse(connection));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn refuse(mut connection: TcpStream) {
    let mut start = vec![0; REFUSED_BYTES];
    let _ = connection.read_exact(&mut start).await;
    let refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    let _ = connection.write_all(refusal).await;
}

/// The time of a request of somebody else.
async fn one_request(http: &Http) -> Result<Duration> {
    let start = Instant::now();
    let reply = once(http.request(Method::GET, "/v1/user")).await;
    let reply = reply.context("a request of others is not answered")?;
    ensure!(reply.status == 200, "a request of others: {reply:?}");
    Ok(start.elapsed())
}

/// Sends the garbage of all clients; returns the number of bytes.
fn flood(port: u16, requests: &[String]) -> Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let clients = (0..CLIENTS).map(|client| send_garbage(port, &requests[client % requests.len()]));
    Ok(runtime.block_on(join_all(clients)).into_iter().sum())
}

/// Sends until everything is sent, on a new connection whenever the farm closes one.
async fn send_garbage(port: u16, request: &str) -> usize {
    let head = format!("{request}\r\nHost: farm\r\nTransfer-Encoding: chunked\r\n\r\n");
    // Chunks of 16 KiB, of the values that take the most memory.
    let values = "[0,".repeat(0x4000 / 3 + 1);
    let chunk = format!("4000\r\n{}\r\n", values.get(..0x4000).unwrap_or_default());
    let (mut sent, start) = (0, Instant::now());
    while sent < GARBAGE_BYTES && start.elapsed() < FLOOD {
        let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)).await else {
            continue;
        };
        let mut is_open = connection.write_all(head.as_bytes()).await.is_ok();
        while is_open && sent < GARBAGE_BYTES {
            is_open = connection.write_all(chunk.as_bytes()).await.is_ok();
            sent += chunk.len();
        }
    }
    sent
}

fn percentile_99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    let index = times.len() * 99 / 100;
    times.get(index).copied().unwrap_or_default()
}

/// The resident memory of a process, in MiB.
fn resident_mib(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes: u64 = kilobytes.context("no VmRSS")?.parse()?;
    Ok(kilobytes / 1024)
}
