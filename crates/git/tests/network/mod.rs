//! Which servers git connects to, and what its errors reveal. The servers are on loopback, of which
//! each test allows a part.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use slipway_domain::Submodules;
use slipway_git::{Git, GitError, Limits, RemoteUrl, Wanted};
use slipway_process_group::ProcessGroup;
use slipway_testkit::{GitServer, LOOPBACK, outbound, wait_until};
use tempfile::TempDir;

use crate::source;

fn git(allowed: &str) -> Git {
    Git::new(Limits::default(), outbound(allowed)).unwrap()
}

/// A port on which connections would be noticed.
struct Trap(TcpListener);

impl Trap {
    fn at(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn was_connected_to(&self) -> bool {
        self.0.accept().is_ok()
    }
}

/// A server that sends `answer` to everybody.
fn serve(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            // The client may send nothing before it has an answer, as with ssh.
            stream
                .set_read_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

async fn failure(git: &Git, url: &str) -> String {
    let url: RemoteUrl = url.parse().unwrap();
    git.resolve(&url, Wanted::Head)
        .await
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn a_server_that_is_not_allowed_is_not_connected_to() {
    let trap = Trap::at("127.0.0.1");
    let (git, port) = (git(""), trap.port());
    for url in [
        "http://127.0.0.1:PORT/x",
        "http://127.1:PORT/x",
        "http://0x7f.1:PORT/x",
        "http://2130706433:PORT/x",
        "http://0:PORT/x",
        "http://localhost:PORT/x",
        "http://[::ffff:127.0.0.1]:PORT/x",
        "http://[64:ff9b::7f00:1]:PORT/x",
        "https://127.0.0.1:PORT/x",
        "ssh://git@127.0.0.1:PORT/x",
        "ssh://git@127.1:PORT/x",
        "ssh://git@0x7f000001:PORT/x",
        "ssh://git@[::ffff:127.0.0.1]:PORT/x",
        "ssh://localhost:PORT/x",
        "git@localhost:x",
        "git@127.1:x",
        "git://127.0.0.1:PORT/x",
        "git://localhost:PORT/x",
        "http://169.254.169.254/x",
    ] {
        let url = url.replace("PORT", &port.to_string());
        let error = failure(&git, &url).await;
        let expected = error.contains("are not allowed") && error.contains("SLIPWAY_ALLOW_NET");
        assert!(expected, "{url}: {error}");
        assert!(!trap.was_connected_to(), "{url}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let trap = Trap::at("127.0.0.1");
    let to = format!("http://127.0.0.1:{}/repo.git/info/refs", trap.port());
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let port = serve(head.leak());
    let error = failure(&git(LOOPBACK), &format!("http://127.0.0.1:{port}/repo.git")).await;
    assert!(
        error.contains("the server redirects (status 302)"),
        "{error}"
    );
    assert!(!trap.was_connected_to());
}

#[tokio::test]
async fn errors_do_not_contain_what_a_server_sent() {
    let git = git(LOOPBACK);
    for (scheme, answer) in [
        (
            "http",
            "HTTP/1.1 500 SECRET\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nSECRET",
        ),
        (
            "http",
            "HTTP/1.1 403 SECRET\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nSECRET",
        ),
        (
            "http",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nSECRET",
        ),
        (
            "http",
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\
             Content-Length: 14\r\n\r\n000eERR SECRET",
        ),
        ("http", "+SECRET redis\r\n"),
        ("git", "000eERR SECRET"),
        ("git", "SECRET"),
        ("ssh", "SECRET\r\n"),
        ("ssh", "SSH-2.0-SECRET\r\nSECRET"),
    ] {
        let port = serve(answer);
        let url: RemoteUrl = format!("{scheme}://127.0.0.1:{port}/x").parse().unwrap();
        let found = git.resolve(&url, Wanted::Head).await;
        // git takes some of these for an empty repository.
        let shown = found.map_or_else(|error| error.to_string(), |found| format!("{found:?}"));
        assert!(!shown.contains("SECRET"), "{answer}: {shown}");
    }
}

#[tokio::test]
async fn the_servers_of_submodules_and_large_files_are_checked_too() {
    let server = GitServer::start();
    let trap = Trap::at("127.0.0.2");
    let elsewhere = format!("http://127.0.0.2:{}", trap.port());
    let git = git("127.0.0.1");
    let check_out = async |url: &str, sha: &str| {
        let dir = tempfile::tempdir().unwrap();
        let mut source = source(url, None, &sha.parse().unwrap());
        source.submodules = Submodules::Recursive;
        let checked_out = git
            .checkout(&source, &dir.path().join("source"), &mut |_| {})
            .await;
        checked_out.unwrap_err().to_string()
    };
    let app = server.repo("acme/app");
    app.submodule("sub", &format!("{elsewhere}/x.git"), &"1".repeat(40));
    let sha = app.commit(&[], "submodule");
    let error = check_out(app.url(), &sha).await;
    assert!(
        error.contains("submodule sub") && error.contains("are not allowed"),
        "{error}"
    );

    let large = server.repo("acme/large");
    large.large_file("model.bin", b"content");
    let sha = large.commit(&[], "large");
    for base in [
        elsewhere,
        format!("http://localhost.:{}", trap.port()),
        "http://169.254.169.254".to_owned(),
        format!("http://[::1]:{}", trap.port()),
    ] {
        server.name_large_files_at(&base);
        let error = check_out(large.url(), &sha).await;
        let is_refused = error.contains("are not allowed") || base.contains("localhost");
        assert!(error.contains("Git LFS") && is_refused, "{base}: {error}");
    }
    assert!(!trap.was_connected_to());
}

/// A `git daemon` with its child processes. It ends when this is dropped.
struct Daemon(Child, ProcessGroup);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.1.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_repository_is_read_with_gits_own_protocol() {
    let server = GitServer::start();
    let repo = server.repo("acme/app");
    let sha = repo.commit(&[("file", "text\n")], "first");
    let served = repo.git(&["remote", "get-url", "origin"]);
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let base = Path::new(&served).parent().unwrap();
    let daemon = Command::new("git")
        .args(["daemon", "--export-all", "--listen=127.0.0.1"])
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", base.display()))
        .stderr(Stdio::null())
        // The command starts the server as a child process.
        .process_group(0)
        .spawn()
        .unwrap();
    let group = ProcessGroup::led_by(Some(daemon.id()));
    let _daemon = Daemon(daemon, group);
    wait_until(Duration::from_secs(20), "the daemon listens", async || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
    .await;
    let url = format!("git://localhost:{port}/app.git");
    let dir = tempfile::tempdir().unwrap();
    let source = source(&url, Some("main"), &sha.parse().unwrap());
    let git = git(LOOPBACK);
    let path = dir.path().join("source");
    git.checkout(&source, &path, &mut |_| {}).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(dir.path().join("source/file")).unwrap(),
        "text\n"
    );
}

/// A repository whose configuration makes git write the file `marker`, in every way that git has.
fn plant(dir: &Path, marker: &Path) {
    let command = format!("touch {}", marker.display());
    let script = format!("#!/bin/sh\n{command}\n");
    std::fs::create_dir_all(dir.join("hooks")).unwrap();
    for name in ["objects", "refs"] {
        std::fs::create_dir_all(dir.join(name)).unwrap();
    }
    std::fs::write(dir.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = \"{command}\"\n\
         \tsshCommand = \"{command}\"\n\tpager = \"{command}\"\n\teditor = \"{command}\"\n\
         \thooksPath = {hooks}\n\tgitProxy = \"{command}\"\n\
         [log]\n\tshowSignature = true\n[gpg]\n\tprogram = {hooks}/post-checkout\n\
         [filter \"lfs\"]\n\tsmudge = \"{command}\"\n\tprocess = \"{command}\"\n\
         [filter \"x\"]\n\tsmudge = \"{command}\"\n[diff]\n\texternal = \"{command}\"\n\
         [credential]\n\thelper = \"!{command}\"\n[uploadpack]\n\tpackObjectsHook = \"{command}\"\n\
         [alias]\n\tinit = \"!{command}\"\n\tfetch = \"!{command}\"\n",
        hooks = dir.join("hooks").display(),
    );
    std::fs::write(dir.join("config"), config).unwrap();
    for hook in [
        "post-checkout",
        "reference-transaction",
        "post-index-change",
        "fsmonitor-watchman",
    ] {
        let path = dir.join("hooks").join(hook);
        std::fs::write(&path, &script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
}

#[tokio::test]
async fn a_configuration_that_somebody_else_wrote_is_not_read() {
    let server = GitServer::start();
    let repo = server.repo("acme/app");
    let rules = "file filter=x\nlarge.bin filter=lfs\n";
    // The commit itself looks like a bare repository with a hostile configuration.
    let scratch = TempDir::new().unwrap();
    let marker = scratch.path().join("marker");
    plant(repo.work_tree(), &marker);
    let files = [
        ("file", "text\n"),
        (".gitattributes", rules),
        ("refs/x", ""),
        ("objects/x", ""),
    ];
    let sha = repo.commit(&files, "first");
    let check_out = async |dir: &Path| {
        let source = source(repo.url(), None, &sha.parse().unwrap());
        git(LOOPBACK)
            .checkout(&source, &dir.join("source"), &mut |_| {})
            .await
    };

    // Above the checkout, and beside it.
    let above = TempDir::new().unwrap();
    plant(&above.path().join(".git"), &marker);
    plant(above.path(), &marker);
    check_out(above.path()).await.unwrap();
    assert!(above.path().join("source/config").exists());
    // In the directory of the checkout.
    let inside = TempDir::new().unwrap();
    plant(&inside.path().join("source"), &marker);
    let time = check_out(inside.path()).await.unwrap().time;
    assert!(time > 1_700_000_000, "{time}");
    // As the repository of the checkout: git is not run there at all.
    for name in [".git", "elsewhere"] {
        let planted = TempDir::new().unwrap();
        let dir = planted.path().join("source");
        plant(&dir.join(name), &marker);
        if name != ".git" {
            let link = format!("gitdir: {}\n", dir.join(name).display());
            std::fs::write(dir.join(".git"), link).unwrap();
        }
        let error = check_out(planted.path()).await.unwrap_err();
        assert!(matches!(error, GitError::Io(_)), "{error}");
    }
    assert!(!marker.exists());
}
