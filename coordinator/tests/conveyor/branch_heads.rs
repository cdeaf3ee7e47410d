//! `POST /builds` with a branch alone.
//!
//! See `docs/protocols/conveyor.md#branch-without-a-sha`.

use serde_json::json;
use slipway_testkit::{Backend, GitServer, GithubMock, on_both_back_ends};

use crate::fixture::{Fixture, REPOSITORY, SHA};

on_both_back_ends!(
    branch_without_sha_is_resolved_with_git,
    branch_without_sha_is_resolved_with_the_github_api,
    full_ref_name_chooses_between_a_branch_and_a_tag,
    renamed_repository_is_resolved_where_github_redirects,
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

async fn full_ref_name_chooses_between_a_branch_and_a_tag(backend: Backend) {
    let git = GitServer::start();
    let repo = git.repo(REPOSITORY);
    let tagged = repo.commit(&[("readme", "1")], "first");
    repo.tag("v1");
    repo.branch("v1");
    let head = repo.commit(&[("readme", "2")], "second");
    let fixture = Fixture::new(backend).await;
    let url = json!({"repo_url": repo.url()});
    fixture.update_project(url).await;
    for (name, sha, is_tag) in [
        ("refs/tags/v1", &tagged, true),
        ("refs/heads/v1", &head, false),
    ] {
        let body = json!({"repository": REPOSITORY, "branch": name});
        let build = fixture.create(body).await.is(201).json();
        assert_eq!(build["sha"], sha.as_str(), "{name}");
        assert_eq!(build["branch"], "v1");
        let builds = fixture.builds(REPOSITORY).await;
        assert_eq!(builds[0].ref_is_tag, is_tag, "{name}");
    }
    let body = json!({"repository": REPOSITORY, "branch": "refs/heads/gone"});
    fixture
        .create(body)
        .await
        .fails_with_id(422, "ref_not_found");
}

async fn renamed_repository_is_resolved_where_github_redirects(backend: Backend) {
    let github = GithubMock::start();
    github.require_token("ghp_secret");
    github.set_branch("acme/new", "main", SHA);
    let fixture = Fixture::with(backend, |config, files| {
        let token = files.join("token");
        std::fs::write(&token, "ghp_secret\n").unwrap();
        config.forges.github_api_url = github.url();
        config.forges.github_token_file = Some(token);
    })
    .await;
    let url = format!("{}/acme/old.git", github.url());
    fixture.update_project(json!({"repo_url": url})).await;
    let body = json!({"repository": REPOSITORY, "branch": "main"});
    for status in [301, 307, 308] {
        github.redirect(
            status,
            "acme/old",
            &format!("{}/repos/acme/new", github.url()),
        );
        let build = fixture.create(body.clone()).await;
        // The first build is unfinished when the others are requested.
        assert!(matches!(build.status, 201 | 409), "{status}: {build:?}");
    }
    // Another server must not get the token, not even on the same host.
    let elsewhere = GithubMock::start();
    github.redirect(
        301,
        "acme/old",
        &format!("{}/repos/acme/new", elsewhere.url()),
    );
    let response = fixture.create(body.clone()).await;
    let response = response.fails_with_id(502, "upstream_error");
    assert!(!response.text().contains("ghp_secret"), "{response:?}");
    assert_eq!(elsewhere.requests(), 0);
    // A circle ends.
    github.redirect(301, "acme/old", &format!("{}/repos/acme/old", github.url()));
    fixture
        .create(body)
        .await
        .fails_with_id(502, "upstream_error");
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
