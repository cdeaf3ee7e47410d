//! What live readers cost: appends of one trace at a fixed rate, with nobody reading and with many.
//!
//! Readers are HTTP clients in this process, on threads of their own; but they share the processors
//! with the farm, so what they take for themselves counts against it here.
#![expect(clippy::print_stdout, reason = "it is what this program is for")]
#![expect(
    clippy::unwrap_used,
    reason = "a measurement that fails has no other answer"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use slipway_testkit::{Backend, TestFarm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How many bytes an append has.
const PIECE: usize = 256 << 10;
/// How many bytes are appended in a second.
const RATE: usize = 10_000_000;

/// What came of one run.
struct Run {
    costs: Vec<Duration>,
    writing: Duration,
    reading: Duration,
    whole: usize,
    cut_off: u64,
    bytes: u64,
}

fn main() {
    let number = |name: &str, usual: usize| {
        let given = std::env::var(name).ok();
        given.map_or(usual, |text| text.parse().expect("a number"))
    };
    let readers = number("SLIPWAY_BENCH_READERS", 1000);
    let seconds = number("SLIPWAY_BENCH_SECONDS", 2);
    let clients = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{seconds} s of one trace at {} MB/s in appends of {} KiB, over HTTP on this machine with {cores} cores.",
        RATE / 1_000_000,
        PIECE >> 10
    );
    println!("The readers are in the same process, and check every byte.");
    let alone = runtime.block_on(run(0, seconds, clients.handle()));
    alone.print(0);
    let read = runtime.block_on(run(readers, seconds, clients.handle()));
    read.print(readers);
    let ratio = |part: f64| read.cost(part) / alone.cost(part);
    println!(
        "append with {readers} readers against none: p50 {:.2}, p99 {:.2}, mean {:.2} (aim: 1.5)",
        ratio(0.5),
        ratio(0.99),
        read.mean() / alone.mean()
    );
    assert_eq!(read.whole, readers, "not every reader got the trace");
}

impl Run {
    fn cost(&self, part: f64) -> f64 {
        let mut costs = self.costs.clone();
        costs.sort_unstable();
        let last = costs.len().saturating_sub(1) as f64;
        costs[(last * part).round() as usize].as_secs_f64()
    }

    fn mean(&self) -> f64 {
        let all: Duration = self.costs.iter().sum();
        all.as_secs_f64() / self.costs.len() as f64
    }

    fn print(&self, readers: usize) {
        println!(
            "{readers} readers: append p50 {:.2} ms, p99 {:.2} ms, mean {:.2} ms; {:.1} MB written in {:.2} s",
            self.cost(0.5) * 1e3,
            self.cost(0.99) * 1e3,
            self.mean() * 1e3,
            self.bytes as f64 / 1e6,
            self.writing.as_secs_f64()
        );
        if readers > 0 {
            println!(
                "{} of {readers} readers got the trace byte for byte, {:.2} s after the first append; {} times one was cut off and resumed",
                self.whole,
                self.reading.as_secs_f64(),
                self.cut_off
            );
        }
    }
}

async fn run(readers: usize, seconds: usize, clients: &tokio::runtime::Handle) -> Run {
    let farm = TestFarm::start(Backend::Sqlite).await;
    let project = farm.project("acme/web").await;
    let http = farm.http.clone();
    let post = async |path: &str, body: Value| -> Value {
        let url = farm.url(&format!("/ci/api/v1{path}"));
        let answer = http
            .post(url)
            .header("Accept", "application/json")
            .json(&body);
        answer.send().await.unwrap().json().await.unwrap()
    };
    let body = json!({"token": farm.registration_token, "description": "bench"});
    let runner = post("/runners/register.json", body).await;
    let build = farm.build(&project).await;
    let job = post("/builds/register.json", json!({"token": runner["token"]})).await;
    let token = farm.farm().log_token(&build).await.unwrap();
    let id = slipway_domain::JobId(job["id"].as_i64().unwrap());
    let name = slipway_domain::JobUuid::of(build.uuid, id);
    let address = farm.url("").replace("http://", "");
    let target: Arc<str> = format!("/v0/jobs/{name}/logs?token={}", token.expose()).into();

    let line = "a line of a build, as long as lines of builds are wont to be, and no longer\n";
    let piece = Bytes::from(line.repeat(PIECE / line.len() + 1).into_bytes()[..PIECE].to_vec());
    let count = (seconds * RATE).div_ceil(PIECE);
    let mut hasher = crc32fast::Hasher::new();
    (0..count).for_each(|_| hasher.update(&piece));
    let expected = (hasher.finalize(), (count * PIECE) as u64);

    let cut_off = Arc::new(AtomicU64::new(0));
    let ready = Arc::new(tokio::sync::Semaphore::new(0));
    let mut following = JoinSet::new();
    for _ in 0..readers {
        let reader = Reader {
            address: address.clone(),
            target: Arc::clone(&target),
            ready: Arc::clone(&ready),
            cut_off: Arc::clone(&cut_off),
            hasher: crc32fast::Hasher::new(),
            length: 0,
        };
        following.spawn_on(reader.follow(), clients);
    }
    let wanted = u32::try_from(readers).unwrap();
    ready.acquire_many(wanted).await.unwrap().forget();

    let mut costs = Vec::new();
    let began = Instant::now();
    let url = farm.url(&format!("/ci/api/v1/builds/{id}/trace.txt"));
    let job_token = job["token"].as_str().unwrap();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(PIECE as f64 / RATE as f64));
    for number in 0..count {
        ticks.tick().await;
        let start = number * PIECE;
        let append = http.patch(&url).header("BUILD-TOKEN", job_token);
        let append = append
            .header("Content-Type", "text/plain")
            .header("Content-Range", format!("{start}-{}", start + PIECE - 1))
            .body(piece.clone());
        let sent = Instant::now();
        assert_eq!(append.send().await.unwrap().status(), 202);
        costs.push(sent.elapsed());
    }
    let writing = began.elapsed();
    let end = http.put(farm.url(&format!("/ci/api/v1/builds/{id}.json")));
    let end = end.json(&json!({"token": runner["token"], "state": "success"}));
    assert_eq!(end.send().await.unwrap().status(), 200);
    let mut whole = 0;
    while let Some(got) = following.join_next().await {
        whole += usize::from(got.unwrap() == expected);
    }
    Run {
        costs,
        writing,
        reading: began.elapsed(),
        whole,
        cut_off: cut_off.load(Ordering::Relaxed),
        bytes: expected.1,
    }
}

/// A reader as cheap as can be: a socket, and a checksum of what came.
struct Reader {
    address: String,
    target: Arc<str>,
    ready: Arc<tokio::sync::Semaphore>,
    cut_off: Arc<AtomicU64>,
    hasher: crc32fast::Hasher,
    length: u64,
}

impl Reader {
    /// The checksum and the length of all that came until the end.
    async fn follow(mut self) -> (u32, u64) {
        let mut is_first = true;
        while !self.read(is_first).await {
            is_first = false;
            self.cut_off.fetch_add(1, Ordering::Relaxed);
        }
        (self.hasher.finalize(), self.length)
    }

    /// Reads until the stream ends, and tells whether the log has ended too.
    async fn read(&mut self, is_first: bool) -> bool {
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        let head = format!(
            "GET {} HTTP/1.0\r\nHost: {}\r\nLast-Event-ID: {}\r\n\r\n",
            self.target, self.address, self.length
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut text = Vec::with_capacity(128 << 10);
        let mut looked_at = 0;
        let mut is_done = false;
        loop {
            let new = text.get(looked_at..).unwrap_or_default();
            if let Some(end) = new.windows(2).position(|pair| pair == b"\n\n") {
                let end = looked_at + end + 2;
                let block: Vec<u8> = text.drain(..end).collect();
                looked_at = 0;
                is_done |= self.take(&block);
                if is_first && self.length == 0 && block.windows(7).any(|part| part == b"history") {
                    self.ready.add_permits(1);
                }
                continue;
            }
            looked_at = text.len().saturating_sub(1);
            if socket.read_buf(&mut text).await.unwrap() == 0 {
                return is_done;
            }
        }
    }

    /// Takes one event; `true` when it is the last of the log.
    fn take(&mut self, block: &[u8]) -> bool {
        let text = std::str::from_utf8(block).unwrap();
        let Some(at) = text.find("data: ") else {
            return false;
        };
        let data: Value = serde_json::from_str(text[at + 6..].trim_end()).unwrap();
        let history = data["chunks"].as_array().cloned();
        for chunk in history.unwrap_or_else(|| vec![data]) {
            if let Some(content) = chunk["content"].as_str() {
                self.hasher.update(content.as_bytes());
                self.length += content.len() as u64;
                assert_eq!(chunk["seq"], self.length);
            }
        }
        text.contains("event: done")
    }
}
