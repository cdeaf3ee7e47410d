//! A real `ssh-agent`: what it knows, what it refuses, and when it ends.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use slipway_ssh_agent::{AgentError, SshAgent};

const AN_HOUR: Duration = Duration::from_secs(3600);
/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(20);
/// Makes the test of a killed process that process; the value is the directory for the agent.
const TO_BE_KILLED: &str = "SLIPWAY_TEST_AGENT_OF_A_KILLED_PROCESS";

/// A new private key, and its fingerprint.
fn key(passphrase: &str) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
        .arg(&file)
        .status();
    assert!(made.unwrap().success());
    let told = Command::new("ssh-keygen").arg("-lf").arg(&file).output();
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    let fingerprint = told.split(' ').nth(1).unwrap().to_owned();
    (std::fs::read_to_string(&file).unwrap(), fingerprint)
}

/// What the agent says that it knows.
fn known(agent: &SshAgent) -> String {
    let mut asking = Command::new("ssh-add");
    asking.arg("-l").env("SSH_AUTH_SOCK", agent.socket());
    String::from_utf8(asking.output().unwrap().stdout).unwrap()
}

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Waits until the one who listened is gone.
fn assert_ended(mut stream: UnixStream) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        // It ended before it had taken the call.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        read => panic!("{read:?}"),
    }
}

#[tokio::test]
async fn an_agent_knows_the_key_however_its_lines_end_and_has_no_file_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (key, fingerprint) = key("");
    let in_a_form = key.trim_end().replace('\n', "\r\n");
    for key in [key.as_str(), key.trim_end(), &in_a_form] {
        let agent = SshAgent::start(dir.path(), key, AN_HOUR).await.unwrap();
        assert!(known(&agent).contains(&fingerprint), "{key:?}");
        assert!(agent.place().starts_with(dir.path()));
        let found = agent.place().read_dir().unwrap().flatten();
        let found: Vec<_> = found.map(|entry| entry.path()).collect();
        assert_eq!(found, [agent.socket()]);
        let mode = agent.socket().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_no_key_or_has_a_passphrase_is_refused() {
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
async fn an_agent_that_cannot_listen_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let error = SshAgent::start(&deep, &key("").0, AN_HOUR).await;
    match error.unwrap_err() {
        AgentError::Unavailable(said) => assert!(said.contains("too long"), "{said}"),
        error => panic!("{error:?}"),
    }
    assert_eq!(deep.read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn an_agent_ends_with_its_value() {
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
async fn a_key_is_forgotten_after_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let (key, fingerprint) = key("");
    let agent = SshAgent::start(dir.path(), &key, Duration::from_secs(1));
    let agent = agent.await.unwrap();
    let begun = Instant::now();
    while known(&agent).contains(&fingerprint) {
        assert!(begun.elapsed() < LIMIT);
    }
}

#[tokio::test]
async fn an_agent_ends_with_its_process_even_if_that_is_killed() {
    if let Some(dir) = std::env::var_os(TO_BE_KILLED) {
        let (key, _) = key("");
        let agent = SshAgent::start(Path::new(&dir), &key, AN_HOUR).await;
        let agent = agent.unwrap();
        let mut stdout = std::io::stdout();
        writeln!(stdout, "\nlistens at {}", agent.socket().display()).unwrap();
        std::thread::park();
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "an_agent_ends_with_its_process_even_if_that_is_killed";
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(TO_BE_KILLED, dir.path())
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
