//! Signals that a coordinator gets from people, terminals and shells.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use slipway_testkit::{wait_for, wait_until};

const LIMIT: Duration = Duration::from_secs(30);

/// A coordinator, or a program that runs one, which is killed when this value is dropped.
struct Running {
    child: Child,
    dir: tempfile::TempDir,
}

impl Running {
    /// Starts a coordinator through `wrapper`, to which its command line is appended.
    fn start(wrapper: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_slipway-coordinator");
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut line = wrapper.to_vec();
        line.extend([program, "serve", "--listen", "127.0.0.1:0", "--data-dir"]);
        let child = Command::new(line[0])
            .args(&line[1..])
            .arg(dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, dir }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    async fn logs(&self, text: &str) {
        wait_until(LIMIT, text, async || self.log().contains(text)).await;
    }

    /// Sends a signal to the coordinator, whose id is in the lock file.
    fn send(&self, signal: &str) {
        let lock = self.dir.path().join("data/lock");
        let id = std::fs::read_to_string(lock).unwrap();
        let sent = Command::new("kill").args([signal, id.trim()]).status();
        assert!(sent.unwrap().success());
    }

    async fn exits(&mut self) -> Option<i32> {
        let child = std::cell::RefCell::new(&mut self.child);
        let status = wait_for(LIMIT, "the end of the process", async || {
            child.borrow_mut().try_wait().unwrap()
        });
        status.await.code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn hangup_does_not_end_a_coordinator_without_a_terminal() {
    // `setsid` leaves the terminal in which the tests run, if there is one.
    let mut farm = Running::start(&["setsid", "--wait"]);
    farm.logs("Listening on").await;
    for _ in 0..2 {
        farm.send("-HUP");
    }
    farm.logs("Ignored SIGHUP").await;
    farm.send("-TERM");
    assert_eq!(farm.exits().await, Some(0));
    assert!(farm.log().contains("Shutting down"), "{}", farm.log());
}

#[tokio::test]
async fn closed_terminal_ends_a_coordinator_gracefully() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    let program = env!("CARGO_BIN_EXE_slipway-coordinator");
    let shown = |path: &Path| path.display().to_string();
    let command = format!(
        "exec {program} serve --listen 127.0.0.1:0 --data-dir {} 2>{}",
        shown(&data),
        shown(&log)
    );
    // `script` runs the command in a terminal of its own, which closes when `script` is killed.
    let mut terminal = Command::new("script")
        .args(["--quiet", "--command", &command, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let logs = async |text: &str| {
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        wait_until(LIMIT, text, async || read().contains(text)).await;
    };
    logs("Listening on").await;
    let id = std::fs::read_to_string(data.join("lock")).unwrap();
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    logs("Shutting down").await;
    // A process that has ended stays in the list until its parent asks for its status.
    let stat = Path::new("/proc").join(id.trim()).join("stat");
    let has_ended = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z"));
    wait_until(LIMIT, "the end", async || has_ended()).await;
}

#[tokio::test]
async fn nohup_keeps_a_coordinator_running_without_a_note() {
    let mut farm = Running::start(&["nohup"]);
    farm.logs("Listening on").await;
    farm.send("-HUP");
    farm.send("-QUIT");
    assert_eq!(farm.exits().await, Some(0));
    assert!(!farm.log().contains("SIGHUP"), "{}", farm.log());
}

#[tokio::test]
async fn second_signal_ends_the_coordinator_at_once() {
    use std::io::{Read as _, Write as _};

    let mut farm = Running::start(&["setsid", "--wait"]);
    farm.logs("Listening on").await;
    let log = farm.log();
    let (_, address) = log.rsplit_once("http://").unwrap();
    let address = address.split_whitespace().next().unwrap();
    // A request whose body does not arrive keeps the coordinator from ending.
    let token = std::fs::read_to_string(farm.dir.path().join("data/admin-token")).unwrap();
    let head = format!(
        "POST /builds HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-length: 9\r\nexpect: 100-continue\r\n\r\n",
        token.trim()
    );
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    farm.send("-TERM");
    farm.logs("Shutting down").await;
    farm.send("-TERM");
    assert_eq!(farm.exits().await, Some(1));
    assert!(
        farm.log().contains("Ended without waiting"),
        "{}",
        farm.log()
    );
}

#[tokio::test]
async fn coordinator_survives_the_end_of_the_reader_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_slipway-coordinator"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .env("SLIPWAY_LOG", "debug")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Every later line meets a closed pipe.
    drop(child.stderr.take());
    wait_until(LIMIT, "the first start", async || {
        dir.path().join("registration-token").exists()
    })
    .await;
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status();
    assert!(sent.unwrap().success());
    let child = std::cell::RefCell::new(&mut child);
    let status = wait_for(LIMIT, "the end", async || {
        child.borrow_mut().try_wait().unwrap()
    });
    assert_eq!(status.await.code(), Some(0));
}
