//! Commits, their builds and their statuses.
//!
//! See `docs/protocols/gitlab-builds-v3.md#commits`.

use std::time::Duration;

use serde_json::{Value, json};
use slipway_domain::{JobId, Visibility};
use slipway_farm::ProjectUpdate;
use slipway_testkit::farm::SHA;
use slipway_testkit::git::Repo;
use slipway_testkit::{Backend, GitServer, on_both_back_ends, wait_for};

use crate::api_client::{PROJECT, build_path};
use crate::fixture::Fixture;

on_both_back_ends!(
    commit_has_its_builds,
    known_commit_without_builds_has_an_empty_list,
    build_has_its_commit_once_it_is_fetched,
    commit_is_found_by_sha_branch_and_abbreviated_sha,
    commit_requires_access_to_the_source,
    commit_has_a_status_for_each_job,
);

/// How long git may take on a busy machine.
const GIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Creates a repository and makes it the source of the project.
async fn add_repository(fixture: &Fixture, server: &GitServer) -> Repo {
    let repo = server.repo("grp/proj");
    let source = ProjectUpdate {
        repo_url: Some(repo.url().to_owned()),
        ..ProjectUpdate::default()
    };
    fixture.farm.change_project(&fixture.project, source).await;
    repo
}

fn commit_path(reference: &str, below: &str) -> String {
    format!("{PROJECT}/repository/commits/{reference}{below}")
}

async fn commit_has_its_builds(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let other = "1".repeat(40);
    let first = fixture.pending_build_of("master", SHA).await;
    fixture.pending_build_of("master", &other).await;
    let last = fixture.pending_build_of("other", SHA).await;
    fixture.farm.cancel(first).await;
    // The repository is unavailable, but the farm knows which commits it has built.
    let path = commit_path(SHA, "/builds");
    let response = fixture.reporter.get(&path).await;
    for (name, value) in [("X-Total", "2"), ("X-Page", "1"), ("X-Per-Page", "20")] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    assert!(response.header("link").unwrap().contains(SHA));
    assert_eq!(response.ids(), [last.0, first.0]);
    let response = fixture
        .reporter
        .get(&format!("{path}?scope=canceled"))
        .await;
    assert_eq!(response.ids(), [first.0]);
    let response = fixture.reporter.get(&format!("{path}?scope=bogus")).await;
    response.has_error(400, "scope does not have a valid value");
    let response = fixture.guest.get(&path).await;
    response.fails_with(403, "403 Forbidden");
}

async fn known_commit_without_builds_has_an_empty_list(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let server = GitServer::start();
    let repo = add_repository(&fixture, &server).await;
    let built = repo.commit(&[("a", "1")], "first");
    let not_built = repo.commit(&[("a", "2")], "second");
    fixture.pending_build_of("main", &built).await;
    for (reference, count) in [
        (not_built.as_str(), 0),
        ("main", 0),
        (&built, 1),
        (&built[..10], 0),
    ] {
        let response = fixture
            .developer
            .get(&commit_path(reference, "/builds"))
            .await;
        assert_eq!(response.items().len(), count, "{reference}");
    }
    for unknown in [&"0".repeat(40), "none", "0123456789", "a..b"] {
        let response = fixture
            .developer
            .get(&commit_path(unknown, "/builds"))
            .await;
        response.fails_with(404, "404 Not Found");
    }
    drop(server);
    // Without the repository, only commits that were seen before are known.
    let response = fixture
        .developer
        .get(&commit_path(&"2".repeat(40), "/builds"))
        .await;
    response.fails_with(404, "404 Not Found");
    let response = fixture
        .developer
        .get(&commit_path(&not_built, "/builds"))
        .await;
    assert!(response.items().is_empty());
}

/// Waits for the commit of a build, which the coordinator fetches in the background.
async fn fetched_commit(fixture: &Fixture, id: JobId) -> Value {
    wait_for(GIT_TIMEOUT, "the commit is fetched", || async {
        let build = fixture
            .developer
            .get(&build_path(id, ""))
            .await
            .is(200)
            .json();
        let commit = build["commit"].clone();
        (!commit.is_null()).then_some(commit)
    })
    .await
}

async fn build_has_its_commit_once_it_is_fetched(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let server = GitServer::start();
    let repo = add_repository(&fixture, &server).await;
    let sha = repo.commit(&[("a", "1")], "Fix it\n\nAll of it.");
    let id = fixture.pending_build_of("main", &sha).await;
    let expected = json!({
        "id": sha, "short_id": &sha[..8], "title": "Fix it",
        "author_name": "Test", "author_email": "test@example.com",
        "committer_name": "Test", "committer_email": "test@example.com",
        "created_at": "2026-01-01T12:00:00.000+00:00", "message": "Fix it\n\nAll of it.\n",
    });
    assert_eq!(fetched_commit(&fixture, id).await, expected);
    // A fetched commit is stored.
    drop(server);
    let again = fixture.pending_build_of("main", &sha).await;
    let build = fixture.developer.get(&build_path(again, "")).await.json();
    assert_eq!(build["commit"], expected);
}

async fn commit_is_found_by_sha_branch_and_abbreviated_sha(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let server = GitServer::start();
    let repo = add_repository(&fixture, &server).await;
    let first = repo.commit(&[("a", "1")], "first");
    repo.branch("feature/x");
    let second = repo.commit(&[("a", "2")], "second");
    let details = fixture.developer.get(&commit_path(&second, "")).await;
    let details = details.is(200).json();
    assert_eq!(details["id"], second);
    assert_eq!(details["title"], "second");
    assert_eq!(details["parent_ids"], json!([first]));
    for member in ["committed_date", "authored_date", "created_at"] {
        assert_eq!(details[member], "2026-01-01T12:00:00.000+00:00", "{member}");
    }
    assert_eq!(details["status"], Value::Null);
    for reference in [
        "feature/x",
        "feature%2Fx",
        &second[..8],
        &format!("{second}.json"),
    ] {
        let response = fixture.developer.get(&commit_path(reference, "")).await;
        response.has_json(200, &details);
    }
    for unknown in [&"0".repeat(40), "none", "0123456789"] {
        let response = fixture.developer.get(&commit_path(unknown, "")).await;
        response.fails_with(404, "404 Not Found");
    }
    // The status of a commit is the status of its newest pipeline.
    let id = fixture.pending_build_of("feature/x", &second).await;
    fixture.farm.cancel(id).await;
    let details = fixture.developer.get(&commit_path(&second, "")).await;
    assert_eq!(details.json()["status"], "canceled");
    // A commit that was built but not fetched cannot be described while the repository is
    // unavailable.
    let not_fetched = "3".repeat(40);
    drop(server);
    let response = fixture.developer.get(&commit_path(&not_fetched, "")).await;
    response.fails_with(404, "404 Not Found");
    fixture.pending_build_of("main", &not_fetched).await;
    let response = fixture.developer.get(&commit_path(&not_fetched, "")).await;
    let response = response.fails_with(503, "503 Service Unavailable");
    assert!(response.header("retry-after").is_some());
}

async fn commit_requires_access_to_the_source(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let server = GitServer::start();
    let repo = add_repository(&fixture, &server).await;
    let sha = repo.commit(&[("a", "1")], "first");
    let path = commit_path(&sha, "");
    let response = fixture.outsider.get(&path).await;
    response.fails_with(404, "404 Project Not Found");
    fixture
        .guest
        .get(&path)
        .await
        .fails_with(403, "403 Forbidden");
    fixture.reporter.get(&path).await.is(200);
    let open = ProjectUpdate {
        visibility: Some(Visibility::Internal),
        ..ProjectUpdate::default()
    };
    fixture.farm.change_project(&fixture.project, open).await;
    let id = fixture.pending_build_of("main", &sha).await;
    fixture.farm.cancel(id).await;
    // Without the right to read builds, the commit has no status.
    let details = fixture.outsider.get(&path).await.is(200).json();
    assert_eq!(
        (&details["id"], &details["status"]),
        (&json!(sha), &Value::Null)
    );
    let response = fixture.outsider.get(&commit_path(&sha, "/builds")).await;
    response.fails_with(403, "403 Forbidden");
}

async fn commit_has_a_status_for_each_job(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let failed = fixture.finished_build("failed").await;
    let retried = fixture
        .developer
        .post(&build_path(failed.id, "/retry"))
        .await;
    let again = retried.is(201).json()["id"].as_i64().unwrap();
    let other = fixture.pending_build_of("other", SHA).await;
    let path = commit_path(SHA, "/statuses");
    let statuses = fixture.reporter.get(&path).await.items();
    assert_eq!(statuses.len(), 2);
    let mut status = statuses[1].clone();
    for member in ["created_at", "author"] {
        assert!(!status[member].take().is_null(), "{member}");
    }
    let expected = json!({
        "id": again, "sha": SHA, "ref": "master", "status": "pending", "name": "unit",
        "target_url": null, "description": null, "created_at": null, "started_at": null,
        "finished_at": null, "allow_failure": false, "author": null,
    });
    assert_eq!(status, expected);
    for (query, ids) in [
        ("all=true", vec![other.0, again, failed.id.0]),
        ("ref=master", vec![again]),
        ("ref=none", vec![]),
        ("name=none", vec![]),
        ("stage=build&name=unit&ref=other", vec![other.0]),
    ] {
        let response = fixture.reporter.get(&format!("{path}?{query}")).await;
        assert_eq!(response.ids(), ids, "{query}");
    }
    let unknown = commit_path(&"1".repeat(40), "/statuses");
    let response = fixture.reporter.get(&unknown).await;
    response.fails_with(404, "404 Not Found");
}
