//! What takes more than one repository behind HTTP: ssh, submodules and Git LFS. The servers are a
//! real sshd, real git and a strict server of LFS, all on loopback.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use slipway_domain::{CommitSha, Submodules};
use slipway_git::{DeployKey, FileAt, Git, GitError, Limits, RemoteUrl, Source, Wanted};
use slipway_testkit::GitServer;
use slipway_testkit::git::Repo;
use slipway_testkit::ssh::{SshServer, make_key};
use tempfile::TempDir;

fn git() -> Git {
    Git::new(Limits {
        fetch: Duration::from_secs(60),
        resolve: Duration::from_secs(30),
    })
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
    told: String,
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
    let mut told = String::new();
    let mut say = |line: &str| told.push_str(&format!("{line}\n"));
    git.checkout(source, &dir.path().join("source"), &mut say)
        .await?;
    Ok(CheckedOut { dir, told })
}

/// Whether any file under `dir` has `text` in it.
fn is_on_disk(dir: &Path, text: &str) -> bool {
    let mut grep = Command::new("grep");
    let found = grep.args(["-r", "-F", "-e", text]).arg(dir).output();
    !found.unwrap().stdout.is_empty()
}

/// A repository behind ssh, and a key for it.
struct Behind {
    server: GitServer,
    ssh: SshServer,
    repo: Repo,
    sha: CommitSha,
    private: String,
    known_hosts: Option<String>,
}

impl Behind {
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

    /// What is said when it cannot be read.
    async fn refusal(&self, git: &Git) -> String {
        match self.check_out(git).await {
            Err(GitError::RepositoryUnavailable { reason, .. }) => reason,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was let in"),
        }
    }
}

#[tokio::test]
async fn a_deploy_key_opens_a_repository_behind_ssh_and_is_nowhere_on_the_disk() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let behind = Behind::start(kind);
        let home = tempfile::tempdir().unwrap();
        let git = git().with_known_hosts(home.path().join("known_hosts"));
        let tip = git.resolve(&behind.url(), Wanted::Head).await.unwrap();
        assert_eq!(tip.unwrap().sha, behind.sha, "{kind}");
        let out = behind.check_out(&git).await.unwrap();
        assert_eq!(out.read("file"), "behind ssh\n");
        let url = behind.url();
        let read = git.read_file(&url, &behind.sha, None, "file", 100);
        let text = FileAt::Text("behind ssh\n".to_owned());
        assert_eq!(read.await.unwrap().file, text);
        let line = behind.private.lines().nth(1).unwrap();
        for dir in [out.dir.path(), home.path(), git.home()] {
            assert!(!is_on_disk(dir, line), "{kind}: {}", dir.display());
        }
        assert!(!out.told.contains(line));
        assert!(!format!("{:?}", behind.url()).contains(line));
    }
}

#[tokio::test]
async fn a_key_that_the_server_does_not_know_is_refused_and_one_that_is_none_is_said_to_be() {
    let mut behind = Behind::start("ed25519");
    let keys = tempfile::tempdir().unwrap();
    behind.private = make_key(&keys.path().join("other"), "ed25519").0;
    let refusal = behind.refusal(&git()).await;
    assert!(refusal.contains("refused the login"), "{refusal}");
    behind.private = "-----BEGIN OPENSSH PRIVATE KEY-----\nnothing\n".to_owned();
    let error = behind.check_out(&git()).await.err().unwrap();
    assert!(matches!(error, GitError::RefusedKey), "{error}");
}

#[tokio::test]
async fn only_the_host_key_that_was_given_is_right() {
    let behind = Behind::start("ed25519");
    behind.check_out(&git()).await.unwrap();
    behind.ssh.change_host_key();
    let refusal = behind.refusal(&git()).await;
    assert!(refusal.contains("not the one that is known"), "{refusal}");
    let other = Behind {
        known_hosts: Some("elsewhere.example ".to_owned() + &host_key(&behind)),
        ..behind
    };
    let refusal = other.refusal(&git()).await;
    assert!(refusal.contains("not among the known hosts"), "{refusal}");
}

fn host_key(behind: &Behind) -> String {
    let line = behind.ssh.known_hosts();
    line.split_once(' ').unwrap().1.to_owned()
}

#[tokio::test]
async fn without_one_the_host_key_of_the_first_time_counts_after_a_restart_too() {
    let mut behind = Behind::start("ed25519");
    behind.known_hosts = None;
    let home = tempfile::tempdir().unwrap();
    let met = home.path().join("known_hosts");
    let first = git().with_known_hosts(met.clone());
    behind.check_out(&first).await.unwrap();
    behind.check_out(&first).await.unwrap();
    drop(first);
    behind.ssh.change_host_key();
    let second = git().with_known_hosts(met.clone());
    let refusal = behind.refusal(&second).await;
    assert!(refusal.contains("not the one that is known"), "{refusal}");
    std::fs::remove_file(met).unwrap();
    behind.check_out(&second).await.unwrap();
}

#[tokio::test]
async fn submodules_come_from_beside_their_repository_with_its_key() {
    let behind = Behind::start("ed25519");
    let inner = behind.server.repo("acme/inner");
    let innermost = inner.commit(&[("deep", "deep\n")], "inner");
    let lib = behind.server.repo("acme/lib");
    lib.submodule("below", "../inner.git", &innermost);
    let first = lib.commit(&[("code", "1\n")], "first");
    lib.commit(&[("code", "2\n")], "second");
    behind.repo.submodule("libs/lib", "../lib.git", &first);
    let sha = behind.repo.commit(&[], "with a submodule");
    for (wanted, has_lib, has_inner) in [
        (Submodules::None, false, false),
        (Submodules::Normal, true, false),
        (Submodules::Recursive, true, true),
    ] {
        let out = check_out(&git(), &source(&behind.url(), &sha, wanted)).await;
        let out = out.unwrap();
        assert_eq!(out.has("libs/lib/code"), has_lib, "{wanted}");
        assert_eq!(out.has("libs/lib/below/deep"), has_inner, "{wanted}");
        if has_lib {
            // The commit that was named, and no other.
            assert_eq!(out.read("libs/lib/code"), "1\n");
            assert!(out.has("libs/lib/.git/shallow"));
            assert!(out.told.contains("Submodule libs/lib\n"), "{}", out.told);
        }
    }
}

#[tokio::test]
async fn a_login_goes_to_submodules_of_the_same_server_and_to_no_other() {
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
    assert!(!out.told.contains("s3cret"));
    assert!(!is_on_disk(out.dir.path(), "s3cret"));

    // The same login would do there, but nobody shows it.
    other.require_login("deploy", "s3cret");
    let error = check_out(&git(), &wanted).await.err().unwrap().to_string();
    assert!(
        error.contains("submodule far") && error.contains("wants a login"),
        "{error}"
    );
}

#[tokio::test]
async fn odd_submodules_are_refused_with_a_sentence() {
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
async fn submodules_end_somewhere() {
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
async fn files_of_git_lfs_come_from_the_repositorys_own_server() {
    let server = GitServer::start();
    let app = server.repo("acme/app");
    let content = "large ".repeat(50_000);
    app.large_file("model.bin", content.as_bytes());
    // A repository may say what it likes.
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
        out.told.contains("Fetching 1 of the files from Git LFS"),
        "{}",
        out.told
    );
    assert!(!is_on_disk(out.dir.path(), "s3cret"));
    assert!(!is_on_disk(out.dir.path(), "Authorization"));
}

#[tokio::test]
async fn files_of_git_lfs_that_are_not_there_are_missed() {
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

/// This test runs once more in a process of its own, to which git-lfs is not there.
#[tokio::test]
async fn without_git_lfs_the_trace_says_that_pointers_stay() {
    const INNER: &str = "SLIPWAY_TEST_WITHOUT_LFS";
    let name = "remotes::without_git_lfs_the_trace_says_that_pointers_stay";
    if std::env::var_os(INNER).is_none() {
        let bin = tempfile::tempdir().unwrap();
        for program in ["git", "sh", "sha256sum"] {
            let paths = std::env::var_os("PATH").unwrap();
            let mut found = std::env::split_paths(&paths).map(|dir| dir.join(program));
            let found = found.find(|path| path.exists()).unwrap();
            std::os::unix::fs::symlink(found, bin.path().join(program)).unwrap();
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("PATH", bin.path())
            .env(INNER, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said} {output:?}");
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    let server = GitServer::start();
    let app = server.repo("acme/app");
    app.large_file("model.bin", b"content");
    let sha = app.commit(&[], "large");
    let url = app.url().parse().unwrap();
    let out = check_out(&git(), &source(&url, &sha, Submodules::None)).await;
    let out = out.unwrap();
    assert!(
        out.told.contains("git-lfs is not installed"),
        "{}",
        out.told
    );
    assert!(out.read("model.bin").contains("oid sha256:"));
}
