//! Checkouts over ssh, with submodules and with Git LFS. The servers are a real sshd, real git and a
//! strict LFS server, all on loopback.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use slipway_domain::{CommitSha, Submodules};
use slipway_git::{DeployKey, FileAt, Git, GitError, Limits, RemoteUrl, Source, Wanted};
use slipway_testkit::git::Repo;
use slipway_testkit::ssh::{SshServer, make_key};
use slipway_testkit::{GitServer, LOOPBACK, outbound};
use tempfile::TempDir;

fn git() -> Git {
    Git::new(
        Limits {
            fetch: Duration::from_secs(60),
            resolve: Duration::from_secs(30),
            file: Duration::from_secs(30),
        },
        outbound(LOOPBACK),
    )
    .unwrap()
}

fn source(url: &RemoteUrl, sha: &str, submodules: Submodules) -> Source {
    Source {
        url: url.clone(),
        git_ref: None,
        sha: sha.parse().unwrap(),
        submodules,
    }
}

struct CheckedOut {
    dir: TempDir,
    log: String,
}

impl CheckedOut {
    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.dir.path().join("source").join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.dir.path().join("source").join(path).exists()
    }
}

async fn check_out(git: &Git, source: &Source) -> Result<CheckedOut, GitError> {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    let mut log = |line: &str| text.push_str(&format!("{line}\n"));
    git.checkout(source, &dir.path().join("source"), &mut log)
        .await?;
    Ok(CheckedOut { dir, log: text })
}

/// Whether any file below `dir` contains `text`.
fn is_on_disk(dir: &Path, text: &str) -> bool {
    let mut grep = Command::new("grep");
    let found = grep.args(["-r", "-F", "-e", text]).arg(dir).output();
    !found.unwrap().stdout.is_empty()
}

/// A repository on an ssh server, and a deploy key for it.
struct SshFixture {
    server: GitServer,
    ssh: SshServer,
    repo: Repo,
    sha: CommitSha,
    private: String,
    known_hosts: Option<String>,
}

impl SshFixture {
    fn start(kind: &str) -> Self {
        let server = GitServer::start();
        let repo = server.repo("acme/app");
        let sha = repo.commit(&[("file", "behind ssh\n")], "first");
        let ssh = SshServer::start(&server);
        let keys = tempfile::tempdir().unwrap();
        let (private, public) = make_key(&keys.path().join("key"), kind);
        ssh.allow(&public);
        Self {
            sha: sha.parse().unwrap(),
            known_hosts: Some(ssh.known_hosts()),
            server,
            ssh,
            repo,
            private,
        }
    }

    fn url(&self) -> RemoteUrl {
        let key = DeployKey {
            private: self.private.clone(),
            known_hosts: self.known_hosts.clone(),
        };
        let url: RemoteUrl = self.ssh.url(&self.repo).parse().unwrap();
        url.with_key(key)
    }

    async fn check_out(&self, git: &Git) -> Result<CheckedOut, GitError> {
        check_out(
            git,
            &source(&self.url(), self.sha.as_str(), Submodules::None),
        )
        .await
    }

    /// Checks out, expects a failure, and returns its reason.
    async fn failure_reason(&self, git: &Git) -> String {
        match self.check_out(git).await {
            Err(GitError::RepositoryUnavailable { reason, .. }) => reason,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("the checkout succeeded"),
        }
    }
}

#[tokio::test]
async fn a_deploy_key_gives_access_over_ssh_and_is_not_written_to_the_disk() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let fixture = SshFixture::start(kind);
        let home = tempfile::tempdir().unwrap();
        let git = git().with_known_hosts(home.path().join("known_hosts"));
        let tip = git.resolve(&fixture.url(), Wanted::Head).await.unwrap();
        assert_eq!(tip.unwrap().sha, fixture.sha, "{kind}");
        let out = fixture.check_out(&git).await.unwrap();
        assert_eq!(out.read("file"), "behind ssh\n");
        let url = fixture.url();
        let read = git.read_file(&url, &fixture.sha, None, "file", 100);
        let text = FileAt::Text("behind ssh\n".to_owned());
        assert_eq!(read.await.unwrap().file, text);
        let line = fixture.private.lines().nth(1).unwrap();
        for dir in [out.dir.path(), home.path(), git.home()] {
            assert!(!is_on_disk(dir, line), "{kind}: {}", dir.display());
        }
        assert!(!out.log.contains(line));
        assert!(!format!("{:?}", fixture.url()).contains(line));
    }
}

#[tokio::test]
async fn an_unknown_key_and_an_invalid_key_are_distinct_errors() {
    let mut fixture = SshFixture::start("ed25519");
    let keys = tempfile::tempdir().unwrap();
    fixture.private = make_key(&keys.path().join("other"), "ed25519").0;
    let reason = fixture.failure_reason(&git()).await;
    assert!(reason.contains("refused the login"), "{reason}");
    fixture.private = "-----BEGIN OPENSSH PRIVATE KEY-----\nnothing\n".to_owned();
    let error = fixture.check_out(&git()).await.err().unwrap();
    assert!(matches!(error, GitError::RefusedKey), "{error}");
}

#[tokio::test]
async fn a_host_key_that_is_not_a_known_host_is_refused() {
    let fixture = SshFixture::start("ed25519");
    fixture.check_out(&git()).await.unwrap();
    fixture.ssh.change_host_key();
    let reason = fixture.failure_reason(&git()).await;
    assert!(reason.contains("not the one that is known"), "{reason}");
    let other = SshFixture {
        known_hosts: Some("elsewhere.example ".to_owned() + &host_key(&fixture)),
        ..fixture
    };
    let reason = other.failure_reason(&git()).await;
    assert!(reason.contains("not among the known hosts"), "{reason}");
}

fn host_key(fixture: &SshFixture) -> String {
    let line = fixture.ssh.known_hosts();
    line.split_once(' ').unwrap().1.to_owned()
}

#[tokio::test]
async fn without_known_hosts_the_first_host_key_is_required_after_a_restart_too() {
    let mut fixture = SshFixture::start("ed25519");
    fixture.known_hosts = None;
    let home = tempfile::tempdir().unwrap();
    let first_seen = home.path().join("known_hosts");
    let first = git().with_known_hosts(first_seen.clone());
    fixture.check_out(&first).await.unwrap();
    fixture.check_out(&first).await.unwrap();
    drop(first);
    fixture.ssh.change_host_key();
    let second = git().with_known_hosts(first_seen.clone());
    let reason = fixture.failure_reason(&second).await;
    assert!(reason.contains("not the one that is known"), "{reason}");
    std::fs::remove_file(first_seen).unwrap();
    fixture.check_out(&second).await.unwrap();
}

#[tokio::test]
async fn relative_submodules_are_fetched_with_the_key_of_their_repository() {
    let fixture = SshFixture::start("ed25519");
    let inner = fixture.server.repo("acme/inner");
    let innermost = inner.commit(&[("deep", "deep\n")], "inner");
    let lib = fixture.server.repo("acme/lib");
    lib.submodule("below", "../inner.git", &innermost);
    let first = lib.commit(&[("code", "1\n")], "first");
    lib.commit(&[("code", "2\n")], "second");
    fixture.repo.submodule("libs/lib", "../lib.git", &first);
    let sha = fixture.repo.commit(&[], "with a submodule");
    for (wanted, has_lib, has_inner) in [
        (Submodules::None, false, false),
        (Submodules::Normal, true, false),
        (Submodules::Recursive, true, true),
    ] {
        let out = check_out(&git(), &source(&fixture.url(), &sha, wanted)).await;
        let out = out.unwrap();
        assert_eq!(out.has("libs/lib/code"), has_lib, "{wanted}");
        assert_eq!(out.has("libs/lib/below/deep"), has_inner, "{wanted}");
        if has_lib {
            // The commit that the repository names, not the newest one.
            assert_eq!(out.read("libs/lib/code"), "1\n");
            assert!(out.has("libs/lib/.git/shallow"));
            assert!(out.log.contains("Submodule libs/lib\n"), "{}", out.log);
        }
    }
}

#[tokio::test]
async fn credentials_are_sent_for_submodules_on_the_same_server_only() {
    let server = GitServer::start();
    let other = GitServer::start();
    let (app, lib) = (server.repo("acme/app"), server.repo("acme/lib"));
    let lib_sha = lib.commit(&[("code", "1\n")], "lib");
    let public = other.repo("pub/lib");
    let public_sha = public.commit(&[("code", "2\n")], "public");
    app.submodule("near", lib.url(), &lib_sha);
    app.submodule("far", public.url(), &public_sha);
    let sha = app.commit(&[], "both");
    server.require_login("deploy", "s3cret");
    let url: RemoteUrl = app.url().parse().unwrap();
    let url = url.with_login("deploy", "s3cret");
    let wanted = source(&url, &sha, Submodules::Recursive);
    let out = check_out(&git(), &wanted).await.unwrap();
    assert_eq!(out.read("near/code") + &out.read("far/code"), "1\n2\n");
    assert!(!out.log.contains("s3cret"));
    assert!(!is_on_disk(out.dir.path(), "s3cret"));

    // The other server would accept the same credentials, but they are not sent.
    other.require_login("deploy", "s3cret");
    let error = check_out(&git(), &wanted).await.err().unwrap().to_string();
    assert!(
        error.contains("submodule far") && error.contains("wants a login"),
        "{error}"
    );
}

#[tokio::test]
async fn submodules_with_forbidden_urls_are_refused_with_a_reason() {
    let server = GitServer::start();
    let lib = server.repo("acme/lib");
    let lib_sha = lib.commit(&[("code", "1\n")], "lib");
    let local = format!("file://{}", lib.work_tree().display());
    for (name, url, sha, expected) in [
        (
            "local",
            local.as_str(),
            lib_sha.as_str(),
            "only http, https, ssh and git",
        ),
        (
            "path",
            lib.work_tree().to_str().unwrap(),
            &lib_sha,
            "expected a URL",
        ),
        ("helper", "ext::sh -c id", &lib_sha, "address is refused"),
        (
            "beyond",
            "../../../elsewhere",
            &lib_sha,
            "beyond the server",
        ),
        ("gone", lib.url(), &"1".repeat(40), "no commit 1111"),
    ] {
        let app = server.repo(name);
        app.submodule("sub", url, sha);
        let sha = app.commit(&[], name);
        let url = app.url().parse().unwrap();
        let wanted = source(&url, &sha, Submodules::Recursive);
        let error = check_out(&git(), &wanted).await.err().unwrap().to_string();
        assert!(error.contains("submodule sub: "), "{name}: {error}");
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn too_deep_or_too_many_submodules_are_refused() {
    let server = GitServer::start();
    let mut below = server.repo("r0");
    let mut sha = below.commit(&[("file", "0")], "0");
    for number in 1..=8 {
        let repo = server.repo(&format!("r{number}"));
        repo.submodule("sub", "../r0.git", &sha);
        repo.git(&[
            "config",
            "--file",
            ".gitmodules",
            "submodule.sub.url",
            below.url(),
        ]);
        sha = repo.commit(&[("file", "1")], "1");
        below = repo;
    }
    let url = below.url().parse().unwrap();
    let wanted = source(&url, &sha, Submodules::Recursive);
    let error = check_out(&git(), &wanted).await.err().unwrap().to_string();
    assert!(error.contains("more than 6 deep"), "{error}");

    let many = server.repo("many");
    for number in 0..201 {
        many.submodule(&format!("s{number}"), "../r0.git", &"1".repeat(40));
    }
    let sha = many.commit(&[], "many");
    let url = many.url().parse().unwrap();
    let wanted = source(&url, &sha, Submodules::Normal);
    let error = check_out(&git(), &wanted).await.err().unwrap().to_string();
    assert!(error.contains("more than 200"), "{error}");
}

#[tokio::test]
async fn lfs_files_are_fetched_from_the_server_of_the_repository() {
    let server = GitServer::start();
    let app = server.repo("acme/app");
    let content = "large ".repeat(50_000);
    app.large_file("model.bin", content.as_bytes());
    // These settings of the repository must be ignored.
    let settings = "[lfs]\n\turl = http://127.0.0.1:1/elsewhere\n[core]\n\tsshCommand = id\n";
    let sha = app.commit(&[(".lfsconfig", settings), ("small", "small\n")], "large");
    server.require_login("deploy", "s3cret");
    let url: RemoteUrl = app.url().parse().unwrap();
    let url = url.with_login("deploy", "s3cret");
    let out = check_out(&git(), &source(&url, &sha, Submodules::None)).await;
    let out = out.unwrap();
    assert_eq!(out.read("model.bin"), content);
    assert_eq!(out.read("small"), "small\n");
    assert!(
        out.log.contains("Fetching files from Git LFS (1)"),
        "{}",
        out.log
    );
    assert!(!is_on_disk(out.dir.path(), "s3cret"));
    assert!(!is_on_disk(out.dir.path(), "Authorization"));
}

#[tokio::test]
async fn a_missing_lfs_file_fails_the_checkout() {
    let server = GitServer::start();
    let app = server.repo("acme/app");
    app.large_file("model.bin", b"x");
    let pointer = std::fs::read_to_string(app.work_tree().join("model.bin")).unwrap();
    let wrong = pointer.replace("size 1", "size 2");
    let sha = app.commit(&[("model.bin", wrong.as_str())], "wrong");
    let url = app.url().parse().unwrap();
    let error = check_out(&git(), &source(&url, &sha, Submodules::None)).await;
    let error = error.err().unwrap();
    assert!(matches!(error, GitError::LargeFiles { .. }), "{error}");
}

#[tokio::test]
async fn a_large_file_keeps_its_mode_and_git_takes_it_for_unmodified() {
    let server = GitServer::start();
    let app = server.repo("acme/app");
    app.large_file("tool.bin", b"content");
    app.git(&["add", "--all"]);
    app.git(&["update-index", "--chmod=+x", "tool.bin"]);
    // The work tree decides the mode of the next commit.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(app.work_tree().join("tool.bin"), mode).unwrap();
    let sha = app.commit(&[("other", "x")], "large");
    let url = app.url().parse().unwrap();
    let out = check_out(&git(), &source(&url, &sha, Submodules::None)).await;
    let out = out.unwrap();
    assert_eq!(out.read("tool.bin"), "content");
    let dir = out.dir.path().join("source");
    let metadata = dir.join("tool.bin").metadata().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    assert_eq!(mode & 0o111, 0o111);
    let status = Command::new("git")
        .args(["status", "--short"])
        .current_dir(&dir)
        .output();
    let status = String::from_utf8(status.unwrap().stdout).unwrap();
    assert_eq!(status, "");
}
