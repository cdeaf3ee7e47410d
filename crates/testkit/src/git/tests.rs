//! Tests of the server with the `git` command.

use super::*;

/// Runs git as a client of the server.
fn client(directory: &TempDir, arguments: &[&str]) -> Result<String, String> {
    let output = command(directory.path())
        .args(arguments)
        .current_dir(directory.path())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn clone_contains_the_committed_files_and_refs() {
    let server = GitServer::start();
    let repo = server.repo("acme/api");
    repo.commit(&[("Dockerfile", "FROM scratch\n")], "first");
    let main = repo.commit(&[("src/deep/file", "content")], "second");
    repo.tag("v1");
    repo.branch("feature");
    let feature = repo.commit(&[("Dockerfile", "FROM busybox\n")], "third");
    repo.branch("main");

    let home = directory();
    client(&home, &["clone", "--depth=1", repo.url(), "copy"]).unwrap();
    let copy = home.path().join("copy");
    let read = |name| std::fs::read_to_string(copy.join(name)).unwrap();
    assert_eq!(read("Dockerfile"), "FROM scratch\n");
    assert_eq!(read("src/deep/file"), "content");
    let refs = client(&home, &["ls-remote", repo.url()]).unwrap();
    for line in [
        format!("{main}\tHEAD"),
        format!("{main}\trefs/heads/main"),
        format!("{main}\trefs/tags/v1"),
        format!("{feature}\trefs/heads/feature"),
    ] {
        assert!(refs.lines().any(|held| held == line), "{line} in {refs}");
    }
}

#[test]
fn equal_commits_have_equal_ids() {
    let commit = || {
        let server = GitServer::start();
        server.repo("a/b").commit(&[("f", "x")], "message")
    };
    assert_eq!(commit(), commit());
}

#[test]
fn fetch_by_sha_works_only_if_it_is_allowed() {
    let server = GitServer::start();
    let repo = server.repo("acme/api");
    let old = repo.commit(&[("f", "1")], "first");
    let tip = repo.commit(&[("f", "2")], "second");
    let home = directory();
    client(&home, &["init", "--quiet"]).unwrap();
    let fetch = |sha: &str| client(&home, &["fetch", "--depth=1", repo.url(), sha]);

    server.allow_fetch_by_sha(false);
    let refused = fetch(&old).unwrap_err();
    assert!(
        refused.contains("not our ref") || refused.contains("unadvertised"),
        "{refused}"
    );
    fetch(&tip).unwrap();
    server.allow_fetch_by_sha(true);
    fetch(&old).unwrap();
}

#[test]
fn required_login_is_enforced() {
    let server = GitServer::start();
    let repo = server.repo("acme/secret");
    repo.commit(&[("f", "1")], "first");
    server.require_login("robot", "s3cret");
    let home = directory();
    let with = |login: &str| {
        let url = repo.url().replace("http://", &format!("http://{login}"));
        client(&home, &["ls-remote", &url])
    };
    assert!(with("").is_err());
    assert!(with("robot:wrong@").is_err());
    assert!(with("robot:s3cret@").unwrap().contains("refs/heads/main"));
}

#[test]
fn a_missing_repository_is_not_found() {
    let server = GitServer::start();
    let url = format!("{}/no/such.git", server.url());
    let refused = client(&directory(), &["ls-remote", &url]).unwrap_err();
    assert!(refused.contains("not found"), "{refused}");
}
