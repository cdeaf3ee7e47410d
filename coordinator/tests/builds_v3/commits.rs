//! Checks 30 and 31, and the neighbours around them: commits, their statuses, pipelines.

use std::time::Duration;

use serde_json::{Value, json};
use slipway_domain::{JobId, Visibility};
use slipway_farm::ProjectUpdate;
use slipway_testkit::farm::SHA;
use slipway_testkit::git::Repo;
use slipway_testkit::{Backend, GitServer, on_both_back_ends, wait_for};

use crate::support::{P, World, build_path};

on_both_back_ends!(
    check_30_a_commit_has_its_builds,
    check_31_a_known_commit_without_builds_has_none_and_an_unknown_one_is_404,
    a_build_has_its_commit_once_that_is_learnt,
    a_commit_is_shown_by_sha_branch_and_first_digits,
    a_commit_is_for_those_who_may_see_the_source,
    a_commit_has_a_status_of_each_job,
    a_pipeline_is_shown_canceled_and_retried,
);

/// How long git may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A repository, from which the project is built from now on.
async fn with_repository(world: &World, server: &GitServer) -> Repo {
    let repo = server.repo("grp/proj");
    let source = ProjectUpdate {
        repo_url: Some(repo.url().to_owned()),
        ..ProjectUpdate::default()
    };
    world.farm.change_project(&world.project, source).await;
    repo
}

fn commit_path(reference: &str, below: &str) -> String {
    format!("{P}/repository/commits/{reference}{below}")
}

async fn check_30_a_commit_has_its_builds(backend: Backend) {
    let world = World::start(backend).await;
    let other = "1".repeat(40);
    let first = world.build_on("master", SHA).await;
    world.build_on("master", &other).await;
    let last = world.build_on("other", SHA).await;
    world.farm.cancel(first).await;
    // The repository is away, but that they were built is known.
    let path = commit_path(SHA, "/builds");
    let answer = world.reporter.get(&path).await;
    for (name, value) in [("X-Total", "2"), ("X-Page", "1"), ("X-Per-Page", "20")] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("link").unwrap().contains(SHA));
    assert_eq!(answer.ids(), [last.0, first.0]);
    let answer = world.reporter.get(&format!("{path}?scope=canceled")).await;
    assert_eq!(answer.ids(), [first.0]);
    let answer = world.reporter.get(&format!("{path}?scope=bogus")).await;
    answer.errs(400, "scope does not have a valid value");
    let answer = world.guest.get(&path).await;
    answer.is_error(403, "403 Forbidden");
}

async fn check_31_a_known_commit_without_builds_has_none_and_an_unknown_one_is_404(
    backend: Backend,
) {
    let world = World::start(backend).await;
    let server = GitServer::start();
    let repo = with_repository(&world, &server).await;
    let built = repo.commit(&[("a", "1")], "first");
    let bare = repo.commit(&[("a", "2")], "second");
    world.build_on("main", &built).await;
    for (reference, count) in [
        (bare.as_str(), 0),
        ("main", 0),
        (&built, 1),
        (&built[..10], 0),
    ] {
        let answer = world
            .developer
            .get(&commit_path(reference, "/builds"))
            .await;
        assert_eq!(answer.items().len(), count, "{reference}");
    }
    for unknown in [&"0".repeat(40), "none", "0123456789", "a..b"] {
        let answer = world.developer.get(&commit_path(unknown, "/builds")).await;
        answer.is_error(404, "404 Not Found");
    }
    drop(server);
    // What was never seen is not there when there is nobody to ask, what was seen is.
    let answer = world
        .developer
        .get(&commit_path(&"2".repeat(40), "/builds"))
        .await;
    answer.is_error(404, "404 Not Found");
    let answer = world.developer.get(&commit_path(&bare, "/builds")).await;
    assert!(answer.items().is_empty());
}

/// The commit of a build, once it is known.
async fn learnt(world: &World, id: JobId) -> Value {
    wait_for(SOON, "the commit is learnt", || async {
        let build = world
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

async fn a_build_has_its_commit_once_that_is_learnt(backend: Backend) {
    let world = World::start(backend).await;
    let server = GitServer::start();
    let repo = with_repository(&world, &server).await;
    let sha = repo.commit(&[("a", "1")], "Fix it\n\nAll of it.");
    let id = world.build_on("main", &sha).await;
    let expected = json!({
        "id": sha, "short_id": &sha[..8], "title": "Fix it",
        "author_name": "Test", "author_email": "test@example.com",
        "committer_name": "Test", "committer_email": "test@example.com",
        "created_at": "2026-01-01T12:00:00.000+00:00", "message": "Fix it\n\nAll of it.\n",
    });
    assert_eq!(learnt(&world, id).await, expected);
    // From now on it is remembered.
    drop(server);
    let again = world.build_on("main", &sha).await;
    let build = world.developer.get(&build_path(again, "")).await.json();
    assert_eq!(build["commit"], expected);
}

async fn a_commit_is_shown_by_sha_branch_and_first_digits(backend: Backend) {
    let world = World::start(backend).await;
    let server = GitServer::start();
    let repo = with_repository(&world, &server).await;
    let first = repo.commit(&[("a", "1")], "first");
    repo.branch("feature/x");
    let second = repo.commit(&[("a", "2")], "second");
    let shown = world.developer.get(&commit_path(&second, "")).await;
    let shown = shown.is(200).json();
    assert_eq!(shown["id"], second);
    assert_eq!(shown["title"], "second");
    assert_eq!(shown["parent_ids"], json!([first]));
    for member in ["committed_date", "authored_date", "created_at"] {
        assert_eq!(shown[member], "2026-01-01T12:00:00.000+00:00", "{member}");
    }
    assert_eq!(shown["status"], Value::Null);
    for reference in [
        "feature/x",
        "feature%2Fx",
        &second[..8],
        &format!("{second}.json"),
    ] {
        let answer = world.developer.get(&commit_path(reference, "")).await;
        answer.shows(200, &shown);
    }
    for unknown in [&"0".repeat(40), "none", "0123456789"] {
        let answer = world.developer.get(&commit_path(unknown, "")).await;
        answer.is_error(404, "404 Not Found");
    }
    // Its status is that of its newest pipeline.
    let id = world.build_on("feature/x", &second).await;
    world.farm.cancel(id).await;
    let shown = world.developer.get(&commit_path(&second, "")).await;
    assert_eq!(shown.json()["status"], "canceled");
    // What was built of a repository that is away cannot be described now.
    let lost = "3".repeat(40);
    drop(server);
    let answer = world.developer.get(&commit_path(&lost, "")).await;
    answer.is_error(404, "404 Not Found");
    world.build_on("main", &lost).await;
    let answer = world.developer.get(&commit_path(&lost, "")).await;
    let answer = answer.is_error(503, "503 Service Unavailable");
    assert!(answer.header("retry-after").is_some());
}

async fn a_commit_is_for_those_who_may_see_the_source(backend: Backend) {
    let world = World::start(backend).await;
    let server = GitServer::start();
    let repo = with_repository(&world, &server).await;
    let sha = repo.commit(&[("a", "1")], "first");
    let path = commit_path(&sha, "");
    let answer = world.outsider.get(&path).await;
    answer.is_error(404, "404 Project Not Found");
    world.guest.get(&path).await.is_error(403, "403 Forbidden");
    world.reporter.get(&path).await.is(200);
    let open = ProjectUpdate {
        visibility: Some(Visibility::Internal),
        ..ProjectUpdate::default()
    };
    world.farm.change_project(&world.project, open).await;
    let id = world.build_on("main", &sha).await;
    world.farm.cancel(id).await;
    // Of the builds an outsider is told nothing.
    let shown = world.outsider.get(&path).await.is(200).json();
    assert_eq!(
        (&shown["id"], &shown["status"]),
        (&json!(sha), &Value::Null)
    );
    let answer = world.outsider.get(&commit_path(&sha, "/builds")).await;
    answer.is_error(403, "403 Forbidden");
}

async fn a_commit_has_a_status_of_each_job(backend: Backend) {
    let world = World::start(backend).await;
    let failed = world.ended("failed").await;
    let retried = world.developer.post(&build_path(failed.id, "/retry")).await;
    let again = retried.is(201).json()["id"].as_i64().unwrap();
    let other = world.build_on("other", SHA).await;
    let path = commit_path(SHA, "/statuses");
    let statuses = world.reporter.get(&path).await.items();
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
        let answer = world.reporter.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.ids(), ids, "{query}");
    }
    let unknown = commit_path(&"1".repeat(40), "/statuses");
    let answer = world.reporter.get(&unknown).await;
    answer.is_error(404, "404 Not Found");
}

async fn a_pipeline_is_shown_canceled_and_retried(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.pending().await;
    let build = world.developer.get(&build_path(id, "")).await.json();
    let pipeline = build["pipeline"]["id"].as_i64().unwrap();
    world.build_on("other", SHA).await;
    let path = |below: &str| format!("{P}/pipelines/{pipeline}{below}");
    let shown = world.reporter.get(&path("")).await.is(200).json();
    for (member, value) in [
        ("id", json!(pipeline)),
        ("sha", json!(SHA)),
        ("ref", json!("master")),
        ("status", json!("pending")),
        ("before_sha", json!("0".repeat(40))),
        ("tag", json!(false)),
        ("yaml_errors", Value::Null),
        ("started_at", Value::Null),
        ("finished_at", Value::Null),
        ("committed_at", Value::Null),
        ("duration", Value::Null),
        ("coverage", Value::Null),
    ] {
        assert_eq!(
            shown.as_object().unwrap().get(member),
            Some(&value),
            "{member}"
        );
    }
    assert_eq!(shown["user"]["username"], "root");
    let list = world
        .reporter
        .get(&format!("{P}/pipelines?per_page=1&page=2"))
        .await;
    assert_eq!(list.header("x-total"), Some("2"));
    assert_eq!(list.items(), [shown]);

    for action in ["/cancel", "/retry"] {
        let answer = world.reporter.post(&path(action)).await;
        answer.is_error(403, "403 Forbidden");
    }
    // What cannot be done changes nothing.
    for (action, code, status) in [
        ("/retry", 201, "pending"),
        ("/cancel", 200, "canceled"),
        ("/cancel", 200, "canceled"),
        ("/retry", 201, "pending"),
    ] {
        let answer = world.developer.post(&path(action)).await.is(code).json();
        assert_eq!(
            (&answer["id"], &answer["status"]),
            (&json!(pipeline), &json!(status))
        );
    }
    for (unknown, code) in [("424242", 404), ("abc", 400)] {
        let answer = world
            .developer
            .get(&format!("{P}/pipelines/{unknown}"))
            .await;
        answer.is(code);
    }
}
