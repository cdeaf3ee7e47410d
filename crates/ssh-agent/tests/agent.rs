//! Runs a real `ssh-agent`: which keys it holds, which it refuses, and when it ends.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use slipway_ssh_agent::{AgentError, SshAgent};

const AN_HOUR: Duration = Duration::from_secs(3600);
/// The time limit for everything that a test waits for.
const LIMIT: Duration = Duration::from_secs(20);
/// If this variable is set, the test process is the one that is killed. The value is the directory
/// for its agent.
const KILLED_PROCESS_DIR: &str = "SLIPWAY_TEST_AGENT_OF_A_KILLED_PROCESS";

/// A new private key, and its fingerprint.
fn key(passphrase: &str) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let created = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
        .arg(&file)
        .status();
    assert!(created.unwrap().success());
    let listed = Command::new("ssh-keygen").arg("-lf").arg(&file).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let fingerprint = listed.split(' ').nth(1).unwrap().to_owned();
    (std::fs::read_to_string(&file).unwrap(), fingerprint)
}

/// The agent's list of its keys.
fn list_keys(agent: &SshAgent) -> String {
    let mut command = Command::new("ssh-add");
    command.arg("-l").env("SSH_AUTH_SOCK", agent.socket());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Waits until the agent behind the connection has ended.
fn assert_ended(mut stream: UnixStream) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        // It ended before it accepted the connection.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        read => panic!("{read:?}"),
    }
}

#[tokio::test]
async fn an_agent_accepts_keys_with_any_line_ends_and_writes_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (key, fingerprint) = key("");
    let with_crlf = key.trim_end().replace('\n', "\r\n");
    for key in [key.as_str(), key.trim_end(), &with_crlf] {
        let agent = SshAgent::start(dir.path(), key, AN_HOUR).await.unwrap();
        assert!(list_keys(&agent).contains(&fingerprint), "{key:?}");
        assert!(agent.dir().starts_with(dir.path()));
        let found = agent.dir().read_dir().unwrap().flatten();
        let found: Vec<_> = found.map(|entry| entry.path()).collect();
        assert_eq!(found, [agent.socket()]);
        let mode = agent.socket().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn an_invalid_key_or_one_with_a_passphrase_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (locked, _) = key("a passphrase");
    let broken = "-----BEGIN OPENSSH PRIVATE KEY-----\nnothing\n";
    for key in [locked.as_str(), broken, "no key", ""] {
        let started = SshAgent::start(dir.path(), key, AN_HOUR).await;
        assert!(matches!(started, Err(AgentError::RefusedKey)), "{key:?}");
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn an_agent_that_cannot_listen_reports_why() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let error = SshAgent::start(&deep, &key("").0, AN_HOUR).await;
    match error.unwrap_err() {
        AgentError::Unavailable(why) => assert!(why.contains("too long"), "{why}"),
        error => panic!("{error:?}"),
    }
    assert_eq!(deep.read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn dropping_the_agent_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let (key, _) = key("");
    let agent = SshAgent::start(dir.path(), &key, AN_HOUR).await;
    let agent = agent.unwrap();
    let stream = connect(agent.socket());
    drop(agent);
    assert_ended(stream);
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn an_agent_drops_the_key_after_its_lifetime() {
    let dir = tempfile::tempdir().unwrap();
    let (key, fingerprint) = key("");
    let agent = SshAgent::start(dir.path(), &key, Duration::from_secs(1));
    let agent = agent.await.unwrap();
    let started = Instant::now();
    while list_keys(&agent).contains(&fingerprint) {
        assert!(started.elapsed() < LIMIT);
    }
}

#[tokio::test]
async fn an_agent_ends_when_its_process_is_killed() {
    if let Some(dir) = std::env::var_os(KILLED_PROCESS_DIR) {
        let (key, _) = key("");
        let agent = SshAgent::start(Path::new(&dir), &key, AN_HOUR).await;
        let agent = agent.unwrap();
        let mut stdout = std::io::stdout();
        writeln!(stdout, "\nlistens at {}", agent.socket().display()).unwrap();
        std::thread::park();
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "an_agent_ends_when_its_process_is_killed";
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(KILLED_PROCESS_DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let socket = lines.find_map(|line| Some(line.unwrap().strip_prefix("listens at ")?.to_owned()));
    let stream = connect(Path::new(&socket.unwrap()));
    process.kill().unwrap();
    process.wait().unwrap();
    assert_ended(stream);
}
