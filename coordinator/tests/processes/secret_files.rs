//! Every program takes its secrets from files and from standard input, and then neither its command
//! line nor its environment contains them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use slipway_testkit::postgres::migrated_database;
use slipway_testkit::processes::program;
use slipway_testkit::wait_for;

use crate::farm::LIMIT;

const ADMIN: &str = "admin-secret-of-the-test-0123456789abcdef";
const REGISTRATION: &str = "registration-secret-of-the-test-0123456789";

/// A coordinator whose tokens are in files.
struct Started {
    child: Child,
    url: String,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn secret_file(dir: &Path, name: &str, secret: &str) -> PathBuf {
    let path = dir.join(name);
    // Editors end a file with a newline.
    fs::write(&path, format!("{secret}\n")).unwrap();
    path
}

/// Starts a coordinator, and waits until it listens.
async fn start(dir: &Path, settings: &[(&str, &Path)]) -> Started {
    let log = dir.join("log");
    let child = Command::new(program("slipway-coordinator"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.join("data"))
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(File::create(&log).unwrap())
        .stderr(File::options().append(true).open(&log).unwrap())
        .spawn()
        .unwrap();
    let mut started = Started {
        child,
        url: String::new(),
    };
    started.url = wait_for(LIMIT, "the coordinator listens", async || {
        let log = fs::read_to_string(&log).unwrap();
        let (_, rest) = log.split_once("Listening on ")?;
        rest.split_whitespace().next().map(str::to_owned)
    })
    .await;
    started
}

/// Runs a program with `input` on standard input, and returns its output. It must succeed.
fn run(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

fn assert_not_visible(process: u32, secrets: &[&str]) {
    for file in ["cmdline", "environ"] {
        let visible = fs::read(format!("/proc/{process}/{file}")).unwrap();
        let visible = String::from_utf8_lossy(&visible);
        assert!(!visible.is_empty());
        for secret in secrets {
            assert!(!visible.contains(secret), "{file} contains {secret}");
        }
    }
}

#[tokio::test]
async fn secrets_come_from_files_and_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let admin = secret_file(dir.path(), "admin", ADMIN);
    let registration = secret_file(dir.path(), "registration", REGISTRATION);
    let farm = start(
        dir.path(),
        &[
            ("SLIPWAY_ADMIN_TOKEN_FILE", &admin),
            ("SLIPWAY_REGISTRATION_TOKEN_FILE", &registration),
        ],
    )
    .await;
    assert_not_visible(farm.child.id(), &[ADMIN, REGISTRATION]);

    let login = |file: &Path, input: &str| {
        let mut login = Command::new(program("slipway"));
        login
            .args(["login", "--url", &farm.url, "--token-file"])
            .arg(file)
            .env("SLIPWAY_CLI_CONFIG", dir.path().join("login.toml"));
        run(&mut login, input)
    };
    assert!(login(&admin, "").contains("Logged in as root"));
    assert!(login(Path::new("-"), &format!("{ADMIN}\n")).contains("Logged in as root"));

    let register = |file: &Path, config: &str, input: &str| {
        let mut register = Command::new(program("slipway-runner"));
        register
            .args(["register", "--url", &farm.url])
            .arg("--registration-token-file")
            .arg(file)
            .arg("--config")
            .arg(dir.path().join(config));
        run(&mut register, input);
        let config = fs::read_to_string(dir.path().join(config)).unwrap();
        assert!(config.contains("token"), "{config}");
    };
    register(&registration, "one.toml", "");
    register(Path::new("-"), "other.toml", &format!("{REGISTRATION}\n"));
}

mod postgres {
    use super::*;

    #[tokio::test]
    async fn address_of_the_database_comes_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let database = migrated_database().await;
        let url = secret_file(dir.path(), "database", &database.url());
        let farm = start(dir.path(), &[("SLIPWAY_DATABASE_URL_FILE", &url)]).await;
        assert_not_visible(farm.child.id(), &[&database.url()]);
        // It did not fall back to a database in its directory.
        assert!(!dir.path().join("data/slipway.db").exists());
        assert!(dir.path().join("data/admin-token").exists());
    }
}
