//! The cost of live readers: appends to one trace at a fixed rate, without readers and with many.
//!
//! The cost of an append is the time until its runner has the response. The readers are another process on
//! the same machine, so their processor time counts against the farm.
#![expect(clippy::print_stdout, reason = "the output is the result")]
#![expect(clippy::unwrap_used, reason = "a failed benchmark has no result")]

mod readers;

use std::time::{Duration, Instant};

use bytes::Bytes;
use readers::{READ, Readers};
use serde_json::{Value, json};
use slipway_coordinator::Config;
use slipway_testkit::{Backend, TestFarm};
use tokio::runtime::Handle;

/// Bytes of an append.
const PIECE: usize = 256 << 10;
/// Bytes appended per second.
const RATE: usize = 10_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == READ) {
        return readers::read(&arguments[1..]);
    }
    let number = |name: &str, default: usize| {
        let value = std::env::var(name).ok();
        value.map_or(default, |text| text.parse().expect("a number"))
    };
    let readers = number("SLIPWAY_BENCH_READERS", 1000);
    let seconds = number("SLIPWAY_BENCH_SECONDS", 2);
    let follow = number("SLIPWAY_FOLLOW_BYTES_PER_S", 256 << 20) as u64;
    // The runner has its own thread; the coordinator has what it has when it runs alone.
    let runner = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let coordinator = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = |readers| coordinator.block_on(run(readers, seconds, follow, runner.handle()));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{seconds} s of one trace at {} MB/s in appends of {} KiB, over HTTP, on SQLite, with {cores} cores.",
        RATE / 1_000_000,
        PIECE >> 10
    );
    println!("The readers are one other process on this machine, and check every byte.");
    println!("They get at most {} MiB/s together.", follow >> 20);
    println!("The time of an append is the time until its runner has the response.");
    let before = run(0);
    before.print(0);
    let read = run(readers);
    read.print(readers);
    let after = run(0);
    after.print(0);
    let alone = Run {
        costs: [before.costs, after.costs].concat(),
        ..after
    };
    println!(
        "append with {readers} readers against none: p50 {:.2}, p99 {:.2}, mean {:.2} (aim: 1.5)",
        read.cost(0.5) / alone.cost(0.5),
        read.cost(0.99) / alone.cost(0.99),
        read.mean() / alone.mean()
    );
    assert_eq!(read.whole, readers, "not every reader got the trace");
}

/// A trace of repeated lines, in appends of one size.
struct Trace {
    piece: Bytes,
    pieces: usize,
}

impl Trace {
    fn of(pieces: usize) -> Self {
        let line = "a line of a build, about as long as the usual line in the trace of a build\n";
        let piece = line.repeat(PIECE / line.len() + 1).into_bytes();
        Self {
            piece: Bytes::from(piece).slice(..PIECE),
            pieces,
        }
    }

    fn length(&self) -> u64 {
        (self.pieces * PIECE) as u64
    }

    /// Panics unless `bytes` are those at `offset`.
    fn compare(&self, offset: u64, bytes: &[u8]) {
        let mut at = usize::try_from(offset).unwrap();
        let mut rest = bytes;
        while !rest.is_empty() {
            let expected = &self.piece[at % PIECE..];
            let count = expected.len().min(rest.len());
            assert!(rest[..count] == expected[..count], "the trace differs");
            rest = &rest[count..];
            at += count;
        }
        assert!(at as u64 <= self.length(), "the trace is too long");
    }
}

/// The results of one run.
struct Run {
    costs: Vec<Duration>,
    writing: Duration,
    reading: Duration,
    /// Processor time of the farm and of the readers while the trace was written, in seconds.
    cpu: (f64, f64),
    whole: usize,
    disconnects: u64,
    bytes: u64,
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
            "{readers} readers: append p50 {:.2} ms, p99 {:.2} ms, mean {:.2} ms; {:.1} MB in {} appends in {:.2} s; processor time of the farm and its runner {:.2} s, of the readers {:.2} s",
            self.cost(0.5) * 1e3,
            self.cost(0.99) * 1e3,
            self.mean() * 1e3,
            self.bytes as f64 / 1e6,
            self.costs.len(),
            self.writing.as_secs_f64(),
            self.cpu.0,
            self.cpu.1
        );
        if readers > 0 {
            println!(
                "{} of {readers} readers got the exact trace, the last one {:.2} s after the first append; {} disconnects and resumes",
                self.whole,
                self.reading.as_secs_f64(),
                self.disconnects
            );
        }
    }
}

async fn run(readers: usize, seconds: usize, follow: u64, runner: &Handle) -> Run {
    let adjust = |config: &mut Config| config.limits.follow_bytes_per_s = follow;
    let farm = TestFarm::start_with(Backend::Sqlite, adjust).await;
    let project = farm.project("acme/web").await;
    let post = async |path: &str, body: Value| -> Value {
        let url = farm.url(&format!("/ci/api/v1{path}"));
        let answer = farm.http.post(url).header("Accept", "application/json");
        let answer = answer.json(&body).send().await.unwrap();
        answer.json().await.unwrap()
    };
    let body = json!({"token": farm.registration_token, "description": "bench"});
    let registered = post("/runners/register.json", body).await;
    let build = farm.build(&project).await;
    let job = post(
        "/builds/register.json",
        json!({"token": registered["token"]}),
    )
    .await;
    let token = farm.farm().log_token(&build).await.unwrap();
    let id = slipway_domain::JobId(job["id"].as_i64().unwrap());
    let name = slipway_domain::JobUuid::of(build.uuid, id);
    let address = farm.url("").replace("http://", "");
    let target = format!("/v0/jobs/{name}/logs?token={}", token.expose());

    let trace = Trace::of((seconds * RATE).div_ceil(PIECE));
    let bytes = trace.length();
    let pieces = trace.pieces;
    let following = (readers > 0).then(|| {
        tokio::task::spawn_blocking(move || Readers::start(&address, &target, readers, pieces))
    });
    let following = match following {
        Some(starting) => Some(starting.await.unwrap()),
        None => None,
    };
    let used = || {
        let readers = following.as_ref().map_or(0.0, Readers::cpu_seconds);
        (cpu_seconds(std::process::id()), readers)
    };

    let (used_before, began) = (used(), Instant::now());
    let url = farm.url(&format!("/ci/api/v1/builds/{id}/trace.txt"));
    let job_token = job["token"].as_str().unwrap().to_owned();
    let costs = runner.spawn(write(url, job_token, trace)).await.unwrap();
    let writing = began.elapsed();
    let used_after = used();
    let end = farm
        .http
        .put(farm.url(&format!("/ci/api/v1/builds/{id}.json")));
    let end = end.json(&json!({"token": registered["token"], "state": "success"}));
    assert_eq!(end.send().await.unwrap().status(), 200);
    let finished = following.map(|readers| tokio::task::spawn_blocking(|| readers.finish()));
    let (mut whole, mut disconnects) = (0, 0);
    if let Some(finished) = finished {
        let result = finished.await.unwrap();
        (whole, disconnects) = (result.whole, result.disconnects);
    }
    Run {
        costs,
        writing,
        reading: began.elapsed(),
        cpu: (used_after.0 - used_before.0, used_after.1 - used_before.1),
        whole,
        disconnects,
        bytes,
    }
}

/// Appends the trace as a runner; returns the time of each append.
async fn write(url: String, job_token: String, trace: Trace) -> Vec<Duration> {
    let http = reqwest::Client::new();
    let mut costs = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(PIECE as f64 / RATE as f64));
    for number in 0..trace.pieces {
        ticks.tick().await;
        let start = number * PIECE;
        let append = http.patch(&url).header("BUILD-TOKEN", &job_token);
        let append = append
            .header("Content-Type", "text/plain")
            .header("Content-Range", format!("{start}-{}", start + PIECE - 1))
            .body(trace.piece.clone());
        let sent = Instant::now();
        assert_eq!(append.send().await.unwrap().status(), 202);
        costs.push(sent.elapsed());
    }
    costs
}

/// Processor time of a process, in seconds.
fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // After the name: the state, ten more fields, then user and system time in hundredths of a second.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}
