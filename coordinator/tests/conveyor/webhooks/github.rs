//! Events of GitHub.
//!
//! See `docs/protocols/conveyor.md#github-events`.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::TrustLevel;
use slipway_testkit::{Backend, on_both_back_ends};

use super::{SECRET, deliver, delivery, push, push_to_main, signed, start_farm};
use crate::fixture::{Fixture, REPOSITORY, SHA};
use crate::scripted_runner::ScriptedRunner;

on_both_back_ends!(
    ping_returns_ok,
    push_creates_a_build_and_returns_its_id,
    push_to_a_fork_builds_nothing,
    deletion_of_a_branch_builds_nothing,
    repeated_delivery_returns_the_first_response,
    commit_message_can_disable_the_cache,
    tag_is_built_without_a_cache_source,
    push_of_a_commit_with_an_unfinished_build_returns_that_build,
    other_events_and_refs_are_ignored,
    oversized_and_malformed_deliveries_are_refused,
    form_encoded_delivery_is_accepted,
    each_ref_of_a_commit_gets_its_own_build_in_every_state_of_the_first,
    push_is_built_although_its_commit_was_requested_without_a_ref,
    branch_with_a_reserved_name_does_not_take_the_tag,
    pushes_that_the_farm_cannot_build_are_answered_with_the_reason,
);

async fn ping_returns_ok(backend: Backend) {
    let fixture = start_farm(backend).await;
    let body = json!({"zen": "Keep it logically awesome.", "hook_id": 1});
    let response = deliver(&fixture, "ping", &body).await.is(200);
    assert_eq!(response.text(), "Ok");
}

async fn push_creates_a_build_and_returns_its_id(backend: Backend) {
    let fixture = start_farm(backend).await;
    let response = deliver(&fixture, "push", &push_to_main()).await.is(200);
    assert!(
        response
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    let build = fixture
        .get(&format!("/builds/{}", response.text()))
        .await
        .is(200)
        .json();
    assert_eq!(build["repository"], REPOSITORY);
    assert_eq!(
        (&build["branch"], &build["sha"]),
        (&json!("main"), &json!(SHA))
    );
    let pushed = fixture.only_build().await;
    assert_eq!(pushed.created_by, None);
    // GitHub signed that the commit is the head of the default branch.
    assert_eq!(pushed.trust, TrustLevel::DefaultBranch);
    let runner = ScriptedRunner::register(&fixture.farm).await;
    assert_eq!(
        runner.claim().await.spec().cache_tag.as_deref(),
        Some("main")
    );
    // Deliveries to `/hooks/github` are handled in the same way.
    let body = push("refs/heads/side/x", &"b".repeat(40), "x").to_string();
    let signature = signed(SECRET, body.as_bytes());
    let request = fixture
        .request(Method::POST, "/hooks/github")
        .header("X-GitHub-Event", "push");
    let request = request.header("X-Hub-Signature-256", format!("sha256={signature}"));
    let response = Fixture::send(request.body(body)).await.is(200);
    let build = fixture
        .get(&format!("/builds/{}", response.text()))
        .await
        .is(200)
        .json();
    assert_eq!(build["branch"], "side/x");
    let builds = fixture.builds(REPOSITORY).await;
    let levels: Vec<TrustLevel> = builds.iter().map(|build| build.trust).collect();
    assert!(levels.contains(&TrustLevel::Ref), "{levels:?}");
    // Anybody who may start builds can name any commit as that of the branch.
    let body = json!({"repository": REPOSITORY, "branch": "main", "sha": "c".repeat(40)});
    fixture.create(body).await.is(201);
    let builds = fixture.builds(REPOSITORY).await;
    let named = builds
        .iter()
        .find(|build| build.sha.as_str() == "c".repeat(40));
    assert_eq!(named.unwrap().trust, TrustLevel::Unverified);
}

async fn push_to_a_fork_builds_nothing(backend: Backend) {
    let fixture = start_farm(backend).await;
    let mut fork = push_to_main();
    fork["repository"]["fork"] = json!(true);
    let response = deliver(&fixture, "push", &fork).await.is(200);
    assert!(
        response.text().contains("forks are not built"),
        "{response:?}"
    );
    assert!(fixture.builds(REPOSITORY).await.is_empty());
}

async fn deletion_of_a_branch_builds_nothing(backend: Backend) {
    let fixture = start_farm(backend).await;
    let mut deleted = push_to_main();
    deleted["deleted"] = json!(true);
    deleted["after"] = json!("0".repeat(40));
    deleted["head_commit"] = Value::Null;
    let response = deliver(&fixture, "push", &deleted).await.is(200);
    let reason = "deleted branches are not built";
    assert!(response.text().contains(reason), "{response:?}");
    assert!(fixture.builds(REPOSITORY).await.is_empty());
}

async fn repeated_delivery_returns_the_first_response(backend: Backend) {
    let fixture = start_farm(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let body = push_to_main().to_string();
    let send = async || {
        let request = delivery(&fixture, "push", &body, SECRET);
        let request = request.header("X-GitHub-Delivery", "72d3162e-cc78-11e3");
        Fixture::send(request).await.is(200).text().to_owned()
    };
    let first = join_all((0..5).map(|_| send())).await;
    assert!(
        first.iter().all(|response| *response == first[0]),
        "{first:?}"
    );
    // The first response stays valid after the build has finished.
    runner.claim().await.succeed().await;
    assert_eq!(send().await, first[0]);
    fixture.only_build().await;
    // Old deliveries are deleted; the same id is then a new delivery.
    fixture.farm.advance(8 * 24 * 3600);
    assert_eq!(
        fixture.farm.farm().delete_old_deliveries().await.unwrap(),
        1
    );
    assert_ne!(send().await, first[0]);
}

async fn commit_message_can_disable_the_cache(backend: Backend) {
    let fixture = start_farm(backend).await;
    let body = push(
        "refs/heads/main",
        SHA,
        "a change\n\nfor once [docker nocache] please",
    );
    deliver(&fixture, "push", &body).await.is(200);
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let claim = runner.claim().await;
    assert!(claim.spec().no_cache);
    assert_eq!(claim.spec().cache_tag, None);
}

async fn tag_is_built_without_a_cache_source(backend: Backend) {
    let fixture = start_farm(backend).await;
    let body = push("refs/tags/v1.2", SHA, "a release");
    let response = deliver(&fixture, "push", &body).await.is(200);
    let build = fixture
        .get(&format!("/builds/{}", response.text()))
        .await
        .is(200);
    assert_eq!(build.json()["branch"], "v1.2");
    assert!(fixture.only_build().await.ref_is_tag);
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let claim = runner.claim().await;
    assert_eq!(claim.spec().tags, [SHA, "v1.2"]);
    assert_eq!(
        (claim.spec().cache_tag.as_deref(), claim.spec().no_cache),
        (None, false)
    );
}

async fn push_of_a_commit_with_an_unfinished_build_returns_that_build(backend: Backend) {
    let fixture = start_farm(backend).await;
    let build = fixture.create_build().await;
    let responses = join_all((0..5).map(|number| {
        let request = delivery(&fixture, "push", &push_to_main().to_string(), SECRET);
        Fixture::send(request.header("X-GitHub-Delivery", format!("number {number}")))
    }))
    .await;
    for response in responses {
        assert_eq!(response.is(200).text(), build["id"].as_str().unwrap());
    }
    fixture.only_build().await;
}

async fn other_events_and_refs_are_ignored(backend: Backend) {
    let fixture = start_farm(backend).await;
    for event in ["issues", "pull_request", "check_run"] {
        let response = deliver(&fixture, event, &push_to_main()).await.is(200);
        assert!(response.text().contains("ignored"), "{response:?}");
    }
    let notes = push("refs/notes/commits", SHA, "x");
    let response = deliver(&fixture, "push", &notes).await.is(200);
    assert!(response.text().contains("ignored"), "{response:?}");
    assert!(fixture.builds(REPOSITORY).await.is_empty());
}

async fn oversized_and_malformed_deliveries_are_refused(backend: Backend) {
    let fixture = start_farm(backend).await;
    let long = "x".repeat((25 << 20) + 1);
    Fixture::send(delivery(&fixture, "push", &long, SECRET))
        .await
        .fails_with_id(413, "too_large");
    for body in ["", "[", "{}", r#"{"ref": 5}"#] {
        Fixture::send(delivery(&fixture, "push", body, SECRET))
            .await
            .fails_with_id(400, "bad_request");
    }
    let request = fixture.request(Method::POST, "/hooks/github").body("{}");
    Fixture::send(request)
        .await
        .fails_with_id(400, "bad_request");
    // A delivery just below the limit is accepted.
    let mut padded = push_to_main();
    padded["padding"] = json!("x".repeat(24 << 20));
    deliver(&fixture, "push", &padded).await.is(200);
}

async fn form_encoded_delivery_is_accepted(backend: Backend) {
    let fixture = start_farm(backend).await;
    let body = url_form(&push_to_main().to_string());
    let signature = signed(SECRET, body.as_bytes());
    let request = fixture
        .request(Method::POST, "/")
        .header("X-GitHub-Event", "push")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("X-Hub-Signature-256", format!("sha256={signature}"));
    Fixture::send(request.body(body)).await.is(200);
    fixture.only_build().await;
}

/// The form field `payload` with every byte percent-encoded.
fn url_form(json: &str) -> String {
    let encoded: String = json.bytes().map(|b| format!("%{b:02X}")).collect();
    format!("payload={encoded}")
}

/// Pushes a ref at [`SHA`] and returns the id of the build.
async fn pushed(fixture: &Fixture, git_ref: &str) -> String {
    let response = deliver(fixture, "push", &push(git_ref, SHA, "x")).await;
    response.is(200).text().to_owned()
}

async fn each_ref_of_a_commit_gets_its_own_build_in_every_state_of_the_first(backend: Backend) {
    let fixture = start_farm(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    // Pending: `git push --follow-tags` sends both at once.
    let first = pushed(&fixture, "refs/heads/main").await;
    let tag = pushed(&fixture, "refs/tags/v1").await;
    assert_ne!(first, tag);
    // Each ref has one unfinished build.
    assert_eq!(pushed(&fixture, "refs/heads/main").await, first);
    assert_eq!(pushed(&fixture, "refs/tags/v1").await, tag);
    // A branch and a tag of one name are two refs.
    let branch = pushed(&fixture, "refs/heads/v1").await;
    assert_ne!(branch, tag);
    // Running.
    let running = runner.claim().await;
    assert_eq!(running.spec().tags, [SHA, "main", "latest"]);
    let second = pushed(&fixture, "refs/tags/v2").await;
    running.succeed().await;
    // Finished.
    let third = pushed(&fixture, "refs/tags/v3").await;
    assert_eq!(fixture.builds(REPOSITORY).await.len(), 5);
    for (build, tag) in [(tag, "v1"), (branch, "v1"), (second, "v2"), (third, "v3")] {
        let claim = runner.claim().await;
        assert_eq!(claim.spec().tags, [SHA, tag]);
        assert_eq!(claim.job.build.uuid.to_string(), build);
        claim.succeed().await;
    }
}

async fn push_is_built_although_its_commit_was_requested_without_a_ref(backend: Backend) {
    let fixture = start_farm(backend).await;
    let body = json!({"repository": REPOSITORY, "sha": SHA});
    let build = fixture.create(body.clone()).await.is(201).json();
    let pushed = pushed(&fixture, "refs/heads/main").await;
    assert_ne!(build["id"], pushed.as_str());
    // The API for people still creates no second build of a commit, whatever the ref.
    for branch in ["", "main", "side", "refs/tags/v1"] {
        let body = json!({"repository": REPOSITORY, "sha": SHA, "branch": branch});
        fixture
            .create(body)
            .await
            .fails_with_id(409, "duplicate_build");
    }
    assert_eq!(fixture.builds(REPOSITORY).await.len(), 2);
}

async fn branch_with_a_reserved_name_does_not_take_the_tag(backend: Backend) {
    let fixture = start_farm(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let other = "c".repeat(40);
    for name in ["heads/latest", "tags/latest", "tags/main"]
        .map(str::to_owned)
        .into_iter()
        .chain([
            format!("heads/{other}"),
            format!("tags/{}", other.to_uppercase()),
        ])
    {
        pushed(&fixture, &format!("refs/{name}")).await;
        let claim = runner.claim().await;
        let (_, short) = name.split_once('/').unwrap();
        assert_eq!(claim.spec().tags.len(), 2, "{name}");
        assert_eq!(claim.spec().tags[0], SHA);
        let own = claim.spec().tags[1].strip_prefix(&format!("{short}-"));
        assert_eq!(
            own.map(str::len),
            Some(8),
            "{name}: {:?}",
            claim.spec().tags
        );
        claim.succeed().await;
    }
}

async fn pushes_that_the_farm_cannot_build_are_answered_with_the_reason(backend: Backend) {
    let fixture = start_farm(backend).await;
    let named = |name: &str| {
        let mut event = push_to_main();
        event["repository"]["full_name"] = json!(name);
        event
    };
    let long = format!("refs/heads/{}", "x".repeat(300));
    for (event, reason) in [
        (named("acme/gone"), "no project acme/gone"),
        (named("a/b/c"), "owner/name"),
        (push(&long, SHA, "x"), "not valid"),
    ] {
        let response = deliver(&fixture, "push", &event).await.is(200);
        assert!(response.text().contains("nothing is built"), "{response:?}");
        assert!(response.text().contains(reason), "{response:?}");
    }
    for (setting, reason) in [
        (json!({"builds_enabled": false}), "builds are disabled"),
        (
            json!({"builds_enabled": true, "read_only": true}),
            "read-only",
        ),
    ] {
        fixture.update_project(setting).await;
        let response = deliver(&fixture, "push", &push_to_main()).await.is(200);
        assert!(response.text().contains(reason), "{response:?}");
    }
    assert!(fixture.builds(REPOSITORY).await.is_empty());
    // The reason is for senders that know the secret only.
    let body = named("acme/gone").to_string();
    Fixture::send(delivery(&fixture, "push", &body, "a-wrong-secret-00"))
        .await
        .fails_with_id(403, "forbidden");
    fixture.update_project(json!({"read_only": false})).await;
    pushed(&fixture, "refs/heads/main").await;
    fixture.only_build().await;
}
