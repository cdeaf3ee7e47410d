//! Measures time and memory of `slipway build .` for a context and for one ten times as large, with
//! release programs and a real engine.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use crate::probe;
use crate::process::{ChildProcess, Lifetime, free_port, output_of, service};
use crate::steps::{cargo, run};

/// Number of files in a context, and their total size in MB.
const SIZES: [(u64, u64); 2] = [(2_000, 20), (20_000, 200)];
/// Number of files in one directory.
const FILES_PER_DIRECTORY: u64 = 100;
/// How often the memory of the command line is sampled.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Time and memory of one build.
struct Measurement {
    time: Duration,
    /// Peak memory of each program, in KiB.
    peaks: [(&'static str, u64); 3],
}

pub(super) async fn measure() -> Result<()> {
    probe::docker().await.context("no Docker Engine answers")?;
    println!("Compiling release programs. The first time takes some minutes.");
    let packages = ["slipway-coordinator", "slipway-runner", "slipway-cli"];
    let mut build = cargo(&["build", "--release"]);
    build.args(packages.iter().flat_map(|name| ["--package", name]));
    run(build).await?;
    println!("{:>7} {:>7} {:>8}   peak memory", "files", "MB", "time");
    let mut all = Vec::new();
    for (files, megabytes) in SIZES {
        let measured = build_once(files, megabytes).await?;
        let peaks = measured.peaks.iter();
        let peaks: Vec<String> = peaks
            .map(|(name, kib)| format!("{name} {:.1} MiB", mebibytes(*kib)))
            .collect();
        let seconds = measured.time.as_secs_f64();
        println!(
            "{files:>7} {megabytes:>7} {seconds:>6.2} s   {}",
            peaks.join(", ")
        );
        all.push(measured);
    }
    if let [small, large] = all.as_slice() {
        for ((name, before), (_, after)) in small.peaks.iter().zip(large.peaks) {
            let more = mebibytes(after) - mebibytes(*before);
            println!("ten times the context: {more:+.1} MiB in the {name}");
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "memory is a few hundred MiB")]
fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Builds one context on a new farm.
async fn build_once(files: u64, megabytes: u64) -> Result<Measurement> {
    let dir = tempfile::tempdir()?;
    let context = dir.path().join("context");
    create_context(&context, files, megabytes * 1_000_000 / files)?;
    let farm = Farm::start(&dir).await?;
    let mut command = farm.slipway(&["build", ".", "--project", "bench/context", "--no-cache"])?;
    command
        .current_dir(&context)
        .stdout(Stdio::null())
        .stderr(fs::File::create(farm.path("build.log"))?);
    let began = Instant::now();
    let mut building = ChildProcess::start(command, Signal::SIGTERM, Duration::from_secs(20))?;
    let id = building.id();
    let mut peak = 0;
    let status = loop {
        // The kernel drops the figure when the process ends, so sample it while the process runs.
        peak = peak.max(peak_of(id).unwrap_or(0));
        let wait = tokio::time::timeout(POLL_INTERVAL, building.child().wait());
        if let Ok(status) = wait.await {
            break status?;
        }
    };
    let time = began.elapsed();
    let log = || fs::read_to_string(farm.path("build.log")).unwrap_or_default();
    ensure!(status.success(), "slipway build: {status}: {}", log());
    Ok(Measurement {
        time,
        peaks: [
            ("command line", peak),
            ("coordinator", peak_of(farm.coordinator.id())?),
            ("runner", peak_of(farm.runner.id())?),
        ],
    })
}

/// Creates a context of pseudo-random files, which hardly compress.
fn create_context(root: &Path, files: u64, size: u64) -> Result<()> {
    fs::create_dir_all(root)?;
    fs::write(root.join("Dockerfile"), "FROM scratch\nCOPY . /\n")?;
    let mut state = 1_u64;
    let mut content = vec![0; usize::try_from(size)?];
    for number in 0..files {
        for eight in content.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            eight.copy_from_slice(&state.to_le_bytes()[..eight.len()]);
        }
        let dir = root.join((number / FILES_PER_DIRECTORY).to_string());
        fs::create_dir_all(&dir)?;
        fs::File::create(dir.join(number.to_string()))?.write_all(&content)?;
    }
    Ok(())
}

/// Peak memory of a process so far, in KiB.
fn peak_of(id: Option<u32>) -> Result<u64> {
    let id = id.context("the process has ended")?;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number
        .context("the status of the process has no VmHWM")?
        .parse()?)
}

/// A coordinator with a runner, and a project.
struct Farm {
    coordinator: ChildProcess,
    runner: ChildProcess,
    port: u16,
    dir: PathBuf,
}

impl Farm {
    async fn start(dir: &TempDir) -> Result<Self> {
        let port = free_port()?;
        let path = |name: &str| dir.path().join(name);
        let log = path("coordinator.log");
        let mut command = service(program("slipway-coordinator"), Lifetime::Bound, &log)?;
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--data-dir").arg(path("data"));
        let mut coordinator = started(command)?;
        let ready = || async {
            let status = probe::http(port, "GET", "/readyz").await?;
            ensure!(
                status == 200,
                "the coordinator answered with status {status}"
            );
            Ok(())
        };
        probe::until_ready(&mut coordinator, &log, Duration::from_secs(30), ready).await?;
        let mut register = Command::new(program("slipway-runner"));
        register
            .args(["register", "--url", &format!("http://127.0.0.1:{port}")])
            .arg("--registration-token-file")
            .arg(path("data/registration-token"))
            .arg("--config")
            .arg(path("runner.toml"));
        output_of(&mut register).await?;
        let mut command = service(
            program("slipway-runner"),
            Lifetime::Bound,
            &path("runner.log"),
        )?;
        command.arg("run").arg("--config").arg(path("runner.toml"));
        command.arg("--work-dir").arg(path("work"));
        let farm = Self {
            coordinator,
            runner: started(command)?,
            port,
            dir: dir.path().to_owned(),
        };
        // The build uses an uploaded directory, so the repository is never fetched.
        let unused = "http://127.0.0.1:1/none.git";
        let project = ["projects", "create", "bench/context", "--repo", unused];
        output_of(&mut farm.slipway(&project)?).await?;
        Ok(farm)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn slipway(&self, arguments: &[&str]) -> Result<Command> {
        let token = fs::read_to_string(self.path("data/admin-token"))?;
        let mut command = Command::new(program("slipway"));
        command
            .args(arguments)
            .env("SLIPWAY_URL", format!("http://127.0.0.1:{}", self.port))
            .env("SLIPWAY_TOKEN", token.trim());
        Ok(command)
    }
}

fn started(command: Command) -> Result<ChildProcess> {
    ChildProcess::start(command, Signal::SIGTERM, Duration::from_secs(20))
}

/// The path of a release program.
fn program(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(
        || crate::root().join("target"),
        |dir| crate::root().join(dir),
    );
    target.join("release").join(name)
}
