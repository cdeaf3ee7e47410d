//! Checkouts, refs, commits and files against a real `git http-backend` on loopback.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod network;
mod remotes;
mod server;

use std::time::Duration;

use server::{Offer, Server};
use slipway_domain::{CommitSha, Submodules};
use slipway_git::{FileAt, Git, GitError, Limits, RemoteUrl, Source, Wanted};
use slipway_testkit::{LOOPBACK, outbound};

fn git() -> Git {
    Git::new(
        Limits {
            fetch: Duration::from_secs(30),
            resolve: Duration::from_secs(10),
            file: Duration::from_secs(30),
        },
        outbound(LOOPBACK),
    )
    .unwrap()
}

fn source(url: &str, git_ref: Option<&str>, sha: &CommitSha) -> Source {
    Source {
        url: url.parse().unwrap(),
        git_ref: git_ref.map(|name| name.parse().unwrap()),
        sha: sha.clone(),
        submodules: Submodules::None,
    }
}

async fn check_out(source: &Source) -> Result<(tempfile::TempDir, String), GitError> {
    let dir = tempfile::tempdir().unwrap();
    let mut log = String::new();
    git()
        .checkout(source, &dir.path().join("source"), &mut |line| {
            log.push_str(line);
            log.push('\n');
        })
        .await?;
    Ok((dir, log))
}

#[tokio::test]
async fn checkout_fetches_only_the_commit() {
    let server = Server::start(Offer::Everything);
    let (dir, log) = check_out(&source(&server.url(), Some("main"), &server.commits[0]))
        .await
        .unwrap();
    let text = std::fs::read_to_string(dir.path().join("source/file")).unwrap();
    assert_eq!(text, "0");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(dir.path().join("source/.git/shallow").exists());
}

#[tokio::test]
async fn checkout_fetches_the_ref_if_the_server_only_serves_refs() {
    let server = Server::start(Offer::RefsOnly);
    let (dir, log) = check_out(&source(&server.url(), Some("main"), &server.commits[0]))
        .await
        .unwrap();
    let text = std::fs::read_to_string(dir.path().join("source/file")).unwrap();
    assert_eq!(text, "0");
    assert!(log.contains("fetching main"), "{log}");
    assert!(!log.contains("whole history"), "{log}");
}

#[tokio::test]
async fn checkout_fetches_the_whole_history_if_the_ref_is_unknown() {
    let server = Server::start(Offer::RefsOnly);
    let (_dir, log) = check_out(&source(&server.url(), None, &server.commits[0]))
        .await
        .unwrap();
    assert!(log.contains("whole history"), "{log}");
}

#[tokio::test]
async fn checkout_distinguishes_a_missing_commit_from_a_missing_repository() {
    for offer in [Offer::Everything, Offer::RefsOnly] {
        let server = Server::start(offer);
        let missing: CommitSha = "1".repeat(40).parse().unwrap();
        let error = check_out(&source(&server.url(), Some("main"), &missing))
            .await
            .unwrap_err();
        assert!(matches!(error, GitError::CommitMissing { .. }), "{error}");
        let missing_repository = server.url().replace("repo.git", "other.git");
        let error = check_out(&source(&missing_repository, None, &server.commits[0]))
            .await
            .unwrap_err();
        assert!(
            matches!(error, GitError::RepositoryUnavailable { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn credentials_reach_the_server_and_are_neither_logged_nor_stored() {
    let server = Server::start(Offer::WithLogin("me:s3cret"));
    let with_login = server.url().replace("http://", "http://me:s3cret@");
    let (dir, log) = check_out(&source(&with_login, None, &server.commits[1]))
        .await
        .unwrap();
    assert!(!log.contains("s3cret"));
    let found = std::process::Command::new("grep")
        .args(["-r", "s3cret"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(
        found.stdout.is_empty(),
        "the password was written to the disk"
    );

    let wrong = server.url().replace("http://", "http://me:wr0ng@");
    let error = check_out(&source(&wrong, None, &server.commits[1]))
        .await
        .unwrap_err();
    assert!(!format!("{error} {error:?}").contains("wr0ng"), "{error:?}");
}

#[tokio::test]
async fn resolve_prefers_branches_and_returns_the_commit_of_a_tag() {
    let server = Server::start(Offer::Everything);
    let url: RemoteUrl = server.url().parse().unwrap();
    let git = git();
    let resolve = async |name: &str| {
        let name = name.parse().unwrap();
        git.resolve(&url, Wanted::Ref(&name))
            .await
            .unwrap()
            .map(|found| found.sha)
    };
    let [_, second, third] = &server.commits;
    assert_eq!(resolve("main").await.as_ref(), Some(third));
    assert_eq!(resolve("v1").await.as_ref(), Some(second));
    assert_eq!(resolve("both").await.as_ref(), Some(third));
    assert_eq!(resolve("nothing").await, None);
    // A full name is only what it says.
    assert_eq!(resolve("refs/heads/both").await.as_ref(), Some(third));
    assert_eq!(resolve("refs/tags/both").await.as_ref(), Some(second));
    assert_eq!(resolve("refs/tags/v1").await.as_ref(), Some(second));
    assert_eq!(resolve("refs/heads/v1").await, None);
    assert_eq!(resolve("refs/tags/main").await, None);
    let head = git
        .resolve(&url, Wanted::Head)
        .await
        .unwrap()
        .map(|found| found.sha);
    assert_eq!(head.as_ref(), Some(third));
}

#[tokio::test]
async fn resolve_times_out_if_the_server_never_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url: RemoteUrl = format!("http://{}/repo.git", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let git = Git::new(
        Limits {
            resolve: Duration::from_millis(300),
            ..Limits::default()
        },
        outbound(LOOPBACK),
    )
    .unwrap();
    let error = git.resolve(&url, Wanted::Head).await.unwrap_err();
    assert!(matches!(error, GitError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn hooks_and_unrequested_submodules_are_ignored() {
    let server = Server::start(Offer::Everything);
    server.commit_submodule();
    let url: RemoteUrl = server.url().parse().unwrap();
    let tip = git()
        .resolve(&url, Wanted::Head)
        .await
        .unwrap()
        .unwrap()
        .sha;
    let (dir, _) = check_out(&source(&server.url(), Some("main"), &tip))
        .await
        .unwrap();
    let submodule = dir.path().join("source/sub");
    assert_eq!(std::fs::read_dir(submodule).unwrap().count(), 0);
    assert!(!dir.path().join("source/.git/hooks").exists());
}

#[tokio::test]
async fn describe_returns_message_author_and_parents() {
    let server = Server::start(Offer::Everything);
    let url = server.url().parse().unwrap();
    let [first, second, _] = &server.commits;
    let described = git().describe(&url, second, None).await.unwrap().unwrap();
    assert_eq!(&described.sha, second);
    assert_eq!(described.parents, std::slice::from_ref(first));
    assert_eq!(described.message, "1\n");
    assert_eq!(described.author.name, "t");
    assert_eq!(described.committer.email, "t@example.org");
    let first = git().describe(&url, first, None).await.unwrap().unwrap();
    assert!(first.parents.is_empty());
}

#[tokio::test]
async fn describe_finds_older_commits_if_the_server_only_serves_refs() {
    let server = Server::start(Offer::RefsOnly);
    let url = server.url().parse().unwrap();
    let main = "main".parse().unwrap();
    for git_ref in [Some(&main), None] {
        let first = &server.commits[0];
        let described = git().describe(&url, first, git_ref).await.unwrap();
        assert_eq!(described.unwrap().message, "0\n", "{git_ref:?}");
    }
}

#[tokio::test]
async fn describe_returns_none_for_a_missing_commit() {
    let unknown: CommitSha = "1".repeat(40).parse().unwrap();
    for offer in [Offer::Everything, Offer::RefsOnly] {
        let server = Server::start(offer);
        let url = server.url().parse().unwrap();
        let described = git().describe(&url, &unknown, None).await.unwrap();
        assert_eq!(described, None);
    }
    let unreachable: RemoteUrl = "http://127.0.0.1:1/none.git".parse().unwrap();
    let error = git()
        .describe(&unreachable, &unknown, None)
        .await
        .unwrap_err();
    let expected = matches!(error, GitError::RepositoryUnavailable { .. });
    assert!(expected, "{error}");
}

async fn read(server: &Server, sha: &CommitSha, path: &str) -> Result<FileAt, GitError> {
    let url = server.url().parse().unwrap();
    let main = "main".parse().unwrap();
    let git = git();
    let read = git.read_file(&url, sha, Some(&main), path, 100).await?;
    let described = git.describe(&url, sha, Some(&main)).await?;
    assert_eq!(Some(read.commit), described);
    Ok(read.file)
}

#[tokio::test]
async fn read_file_fetches_one_file_of_a_commit() {
    for offer in [Offer::Everything, Offer::WholeCommits, Offer::RefsOnly] {
        let server = Server::start(offer);
        let with_files = server.commit_files();
        let text = |sha| read(&server, sha, "file");
        for (index, sha) in server.commits.iter().enumerate() {
            let expected = FileAt::Text(index.to_string());
            assert_eq!(text(sha).await.unwrap(), expected);
        }
        let at = async |path| read(&server, &with_files, path).await.unwrap();
        assert_eq!(at("nothing").await, FileAt::Absent);
        assert_eq!(at("link").await, FileAt::NotAFile);
        assert_eq!(at("dir").await, FileAt::NotAFile);
        assert_eq!(at("dir/file").await, FileAt::Text("inner\n".to_owned()));
        assert_eq!(at("large").await, FileAt::TooLarge(101));
        let missing = "1".repeat(40).parse().unwrap();
        let error = read(&server, &missing, "file").await.unwrap_err();
        assert!(matches!(error, GitError::CommitMissing { .. }), "{error}");
    }
    let sent = |offer| async move {
        let server = Server::start(offer);
        let sha = server.commit_files();
        let url = server.url().parse().unwrap();
        let read = git().read_file(&url, &sha, None, "file", 100).await;
        read.unwrap();
        server.sent()
    };
    // The large random file is not sent, if the server supports filters.
    assert!(sent(Offer::Everything).await < 20_000);
    assert!(sent(Offer::WholeCommits).await > 500_000);
}

#[tokio::test]
async fn read_file_fetches_no_history_of_a_ref_that_is_at_the_commit() {
    let server = Server::start(Offer::RefsOnly);
    // The history has a large file that the commit itself does not have.
    server.commit_files();
    let sha = server.remove_files();
    let url = server.url().parse().unwrap();
    let main = "main".parse().unwrap();
    let read = git().read_file(&url, &sha, Some(&main), "file", 100).await;
    assert_eq!(read.unwrap().file, FileAt::Text("2".to_owned()));
    assert!(server.sent() < 100_000, "{}", server.sent());
}

#[tokio::test]
async fn read_file_distinguishes_an_unreadable_repository_from_a_missing_file() {
    let server = Server::start(Offer::WithLogin("me:secret"));
    let error = read(&server, &server.commits[2], "file").await.unwrap_err();
    assert!(
        matches!(error, GitError::RepositoryUnavailable { .. }),
        "{error}"
    );
    let url = server.url().replace("http://", "http://me:secret@");
    let (git, url) = (git(), url.parse().unwrap());
    let read = git.read_file(&url, &server.commits[2], None, "file", 100);
    assert_eq!(read.await.unwrap().file, FileAt::Text("2".to_owned()));
}
