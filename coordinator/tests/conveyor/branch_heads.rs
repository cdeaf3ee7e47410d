//! `POST /builds` with a branch alone.
//!
//! See `docs/protocols/conveyor.md#branch-without-a-sha`.

use serde_json::json;
use slipway_testkit::{Backend, GitServer, GithubMock, on_both_back_ends};

use crate::fixture::{Fixture, REPOSITORY, SHA};

on_both_back_ends!(
    branch_without_sha_is_resolved_with_git,
    branch_without_sha_is_resolved_with_the_github_api,
    unknown_branch_returns_422_ref_not_found,
    unreachable_git_host_returns_502_and_creates_no_build,
);

async fn branch_without_sha_is_resolved_with_git(backend: Backend) {
    let git = GitServer::start();
    let repo = git.repo(REPOSITORY);
    repo.commit(&[("readme", "1")], "first");
    repo.branch("feature/x");
    let head = repo.commit(&[("readme", "2")], "second");
    let fixture = Fixture::new(backend).await;
    fixture
        .update_project(json!({"repo_url": repo.url()}))
        .await;
    let body = json!({"repository": REPOSITORY, "branch": "feature/x"});
    let build = fixture.create(body).await.is(201).json();
    assert_eq!(build["sha"], head.as_str());
    assert_eq!(build["branch"], "feature/x");
}

async fn branch_without_sha_is_resolved_with_the_github_api(backend: Backend) {
    let github = GithubMock::start();
    github.require_token("ghp_secret");
    github.set_branch("Acme/Api", "feature/x", SHA);
    let fixture = Fixture::with(backend, |config, files| {
        let token = files.join("token");
        std::fs::write(&token, "ghp_secret\n").unwrap();
        config.forges.github_api_url = github.url();
        config.forges.github_token_file = Some(token);
    })
    .await;
    let url = format!("{}/Acme/Api.git", github.url());
    fixture.update_project(json!({"repo_url": url})).await;
    let body = json!({"repository": REPOSITORY, "branch": "feature/x"});
    let build = fixture.create(body).await.is(201).json();
    assert_eq!(build["sha"], SHA);

    let body = json!({"repository": REPOSITORY, "branch": "gone"});
    fixture
        .create(body.clone())
        .await
        .fails_with_id(422, "ref_not_found");
    github.fail_next(&[500, 403, 302]);
    for _ in 0..3 {
        let response = fixture
            .create(body.clone())
            .await
            .fails_with_id(502, "upstream_error");
        assert!(!response.text().contains("ghp_secret"), "{response:?}");
    }
    fixture.only_build().await;
}

async fn unknown_branch_returns_422_ref_not_found(backend: Backend) {
    let git = GitServer::start();
    let repo = git.repo(REPOSITORY);
    repo.commit(&[("readme", "1")], "first");
    repo.tag("v1");
    let fixture = Fixture::new(backend).await;
    fixture
        .update_project(json!({"repo_url": repo.url()}))
        .await;
    // A tag is not a branch.
    for branch in ["gone", "v1"] {
        let body = json!({"repository": REPOSITORY, "branch": branch});
        fixture
            .create(body)
            .await
            .fails_with_id(422, "ref_not_found");
    }
    assert!(fixture.builds(REPOSITORY).await.is_empty());
}

async fn unreachable_git_host_returns_502_and_creates_no_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let body = json!({"repository": REPOSITORY, "branch": "main"});
    fixture
        .create(body.clone())
        .await
        .fails_with_id(502, "upstream_error");
    let github = GithubMock::start();
    let url = format!("{}/acme/api.git", github.url());
    github.stop().await;
    fixture.update_project(json!({"repo_url": url})).await;
    fixture
        .create(body)
        .await
        .fails_with_id(502, "upstream_error");
    assert!(fixture.builds(REPOSITORY).await.is_empty());
}
