//! `GET /artifacts/…`: the image of a build.
//!
//! See `docs/protocols/conveyor.md#read-an-artifact`.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{Fixture, REPOSITORY, SHA};
use crate::scripted_runner::ScriptedRunner;

on_both_back_ends!(
    artifact_exists_as_soon_as_the_build_has_succeeded,
    artifact_is_found_by_its_own_id,
    artifact_is_found_by_the_id_of_its_build,
    failed_build_has_no_artifact,
    artifact_of_an_earlier_build_remains_when_a_later_one_fails,
);

/// Creates a build that succeeds, and returns it with its artifact.
async fn successful_build(fixture: &Fixture) -> (Value, Value) {
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let build = fixture.create_build().await;
    runner.claim().await.succeed().await;
    let image = fixture.get(&format!("/artifacts/{REPOSITORY}@{SHA}")).await;
    (build, image.is(200).json())
}

async fn artifact_exists_as_soon_as_the_build_has_succeeded(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let build = fixture.create_build().await;
    let by_commit = format!("/artifacts/{REPOSITORY}@{SHA}");
    let by_build = format!("/artifacts/{}", build["id"].as_str().unwrap());
    fixture.get(&by_commit).await.fails_with_not_found();
    let claim = runner.claim().await;
    fixture.get(&by_commit).await.fails_with_not_found();
    fixture.get(&by_build).await.fails_with_not_found();
    claim.succeed().await;
    assert_eq!(fixture.read_build(&build).await["state"], "succeeded");
    let image = fixture.get(&by_commit).await.is(200).json();
    assert_eq!(image.as_object().unwrap().len(), 3, "{image}");
    assert_eq!(image["build"], json!({"id": build["id"]}));
    let expected = format!("registry.example:5000/{REPOSITORY}:{SHA}");
    assert_eq!(image["image"], expected);
}

async fn artifact_is_found_by_its_own_id(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let (build, image) = successful_build(&fixture).await;
    let id = image["id"].as_str().unwrap();
    assert_ne!(id, build["id"]);
    let path = format!("/artifacts/{id}");
    assert_eq!(fixture.get(&path).await.is(200).json(), image);
    let mut near = path.into_bytes();
    let last = near.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let near = String::from_utf8(near).unwrap();
    fixture.get(&near).await.fails_with_not_found();
}

async fn artifact_is_found_by_the_id_of_its_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let (build, image) = successful_build(&fixture).await;
    let path = format!("/artifacts/{}", build["id"].as_str().unwrap());
    assert_eq!(fixture.get(&path).await.is(200).json(), image);
}

async fn failed_build_has_no_artifact(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let build = fixture.create_build().await;
    runner.claim().await.fail().await;
    let by_build = format!("/artifacts/{}", build["id"].as_str().unwrap());
    fixture
        .get(&format!("/artifacts/{REPOSITORY}@{SHA}"))
        .await
        .fails_with_not_found();
    fixture.get(&by_build).await.fails_with_not_found();
}

async fn artifact_of_an_earlier_build_remains_when_a_later_one_fails(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let first = fixture.create_build().await;
    runner.claim().await.succeed().await;
    let second = fixture.create_build().await;
    runner.claim().await.fail().await;
    let image = fixture.get(&format!("/artifacts/{REPOSITORY}@{SHA}")).await;
    assert_eq!(image.is(200).json()["build"]["id"], first["id"]);
    let newest = fixture.get(&format!("/builds/{REPOSITORY}@{SHA}")).await;
    assert_eq!(newest.is(200).json()["id"], second["id"]);
}
