//! Checks 13 to 15: builds of the head of a branch.

use serde_json::json;
use slipway_testkit::{Backend, GitServer, GithubMock, on_both_back_ends};

use crate::client::{REPOSITORY, SHA, Yard};

on_both_back_ends!(
    check_13_a_branch_alone_stands_for_its_head_as_git_tells,
    check_13_a_branch_alone_stands_for_its_head_as_github_tells,
    check_14_a_branch_that_is_not_there_is_told_as_such,
    check_15_nothing_is_kept_when_the_host_is_down,
);

async fn check_13_a_branch_alone_stands_for_its_head_as_git_tells(backend: Backend) {
    let git = GitServer::start();
    let repo = git.repo(REPOSITORY);
    repo.commit(&[("readme", "1")], "first");
    repo.branch("feature/x");
    let head = repo.commit(&[("readme", "2")], "second");
    let yard = Yard::new(backend).await;
    yard.change(json!({"repo_url": repo.url()})).await;
    let body = json!({"repository": REPOSITORY, "branch": "feature/x"});
    let build = yard.ask(body).await.is(201).json();
    assert_eq!(build["sha"], head.as_str());
    assert_eq!(build["branch"], "feature/x");
}

async fn check_13_a_branch_alone_stands_for_its_head_as_github_tells(backend: Backend) {
    let github = GithubMock::start();
    github.require_token("ghp_secret");
    github.set_branch("Acme/Api", "feature/x", SHA);
    let yard = Yard::with(backend, |config, files| {
        let token = files.join("token");
        std::fs::write(&token, "ghp_secret\n").unwrap();
        config.forges.github_api_url = github.url();
        config.forges.github_token_file = Some(token);
    })
    .await;
    let url = format!("{}/Acme/Api.git", github.url());
    yard.change(json!({"repo_url": url})).await;
    let body = json!({"repository": REPOSITORY, "branch": "feature/x"});
    let build = yard.ask(body).await.is(201).json();
    assert_eq!(build["sha"], SHA);

    let body = json!({"repository": REPOSITORY, "branch": "gone"});
    yard.ask(body.clone()).await.fails(422, "ref_not_found");
    github.fail_next(&[500, 403, 302]);
    for _ in 0..3 {
        let answer = yard.ask(body.clone()).await.fails(502, "upstream_error");
        assert!(!answer.text().contains("ghp_secret"), "{answer:?}");
    }
    yard.only_row().await;
}

async fn check_14_a_branch_that_is_not_there_is_told_as_such(backend: Backend) {
    let git = GitServer::start();
    let repo = git.repo(REPOSITORY);
    repo.commit(&[("readme", "1")], "first");
    repo.tag("v1");
    let yard = Yard::new(backend).await;
    yard.change(json!({"repo_url": repo.url()})).await;
    // A tag is no branch.
    for branch in ["gone", "v1"] {
        let body = json!({"repository": REPOSITORY, "branch": branch});
        yard.ask(body).await.fails(422, "ref_not_found");
    }
    assert!(yard.rows(REPOSITORY).await.is_empty());
}

async fn check_15_nothing_is_kept_when_the_host_is_down(backend: Backend) {
    let yard = Yard::new(backend).await;
    let body = json!({"repository": REPOSITORY, "branch": "main"});
    yard.ask(body.clone()).await.fails(502, "upstream_error");
    let github = GithubMock::start();
    let url = format!("{}/acme/api.git", github.url());
    github.stop().await;
    yard.change(json!({"repo_url": url})).await;
    yard.ask(body).await.fails(502, "upstream_error");
    assert!(yard.rows(REPOSITORY).await.is_empty());
}
