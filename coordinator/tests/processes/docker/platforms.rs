//! An image for two platforms on two runners, one of which emulates.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::{docker, remove_image};
use slipway_testkit::wait_for;

use super::{Fixture, artifacts, one_job, var};
use crate::farm::{LIMIT, show, trace_of, wait_until_finished};

const ARM: &str = "linux/arm64";
/// Runs no program, so it can be built for any processor without an emulator.
const FILES_ALONE: &str = "FROM scratch\nCOPY README /\n";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Fetches a manifest from the registry, with its media type.
async fn fetch_manifest(fixture: &Fixture, name: &str) -> (String, Value) {
    let (registry, path) = fixture.repository.split_once('/').unwrap();
    let answer = reqwest::Client::new()
        .get(format!("http://{registry}/v2/{path}/manifests/{name}"))
        .header(
            "Accept",
            format!("{DOCKER_LIST}, application/vnd.oci.image.index.v1+json"),
        )
        .basic_auth(
            var("SLIPWAY_TEST_AUTH_REGISTRY_USER"),
            Some(var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD")),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{name}");
    let kind = answer.headers()["Content-Type"]
        .to_str()
        .unwrap()
        .to_owned();
    (kind, answer.json().await.unwrap())
}

fn named<'a>(build: &'a Value, name: &str) -> &'a Value {
    let mut jobs = build["jobs"].as_array().unwrap().iter();
    jobs.find(|job| job["name"] == name).unwrap()
}

#[tokio::test]
async fn image_for_two_platforms_is_built_by_two_runners_and_pulled_by_one_name() {
    let fixture = Fixture::bare().await;
    let own = docker(&["version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"]);
    assert_ne!(
        own, ARM,
        "this test expects another processor for the foreign platform"
    );
    let _plain = fixture.farm.runner_with("plain", &[]);
    let spec = json!({"kind": "image_build", "tags": ["v1"], "platforms": [own, ARM]});
    fixture.set_pipeline(json!([one_job("app", spec)])).await;
    // Text that is in no cache.
    let readme = format!("read {}\n", fixture.repository);
    fixture
        .repo
        .commit(&[("Dockerfile", FILES_ALONE), ("README", &readme)], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let ours = format!("app-{}", own.replace('/', "-"));
    let begun = wait_for(LIMIT, "the runner's own platform is built", || async {
        let build = show(&fixture.farm, &build).await;
        (named(&build, &ours)["state"] == "succeeded").then_some(build)
    })
    .await;
    let foreign = named(&begun, "app-linux-arm64");
    assert_eq!(
        (&foreign["state"], &named(&begun, "app")["state"]),
        (&json!("pending"), &json!("waiting"))
    );
    let path = format!("/v1/jobs/{}/pending-reason", foreign["id"]);
    let why = fixture.farm.api(Method::GET, &path, None).await;
    assert_eq!(why["reason"]["code"], "no_runner_can", "{why:#}");
    let sentence = why["reason"]["message"].as_str().unwrap();
    assert!(
        sentence.contains("no runner") && sentence.contains("images for linux/arm64"),
        "{sentence}"
    );

    let _emulating = fixture.farm.runner_with("emulating", &["--emulate", ARM]);
    let done = wait_until_finished(&fixture.farm, &build).await;
    let trace = trace_of(&fixture.farm, named(&done, "app")).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{trace}");
    let (of_own, of_foreign) = (named(&done, &ours), named(&done, "app-linux-arm64"));
    assert_ne!(of_own["runner"], of_foreign["runner"], "{done:#}");

    let mut expected = Vec::new();
    for (job, platform) in [(of_own, own.as_str()), (of_foreign, ARM)] {
        let made = artifacts(&fixture.farm, job["id"].as_i64().unwrap()).await;
        assert_eq!(made[0]["platform"], platform, "{made:#?}");
        expected.push((platform.to_owned(), made[0]["digest"].clone()));
    }
    let (kind, index) = fetch_manifest(&fixture, "v1").await;
    assert_eq!(kind, DOCKER_LIST);
    let listed: Vec<(String, Value)> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let word = |name: &str| entry["platform"][name].as_str().unwrap().to_owned();
            (
                format!("{}/{}", word("os"), word("architecture")),
                entry["digest"].clone(),
            )
        })
        .collect();
    assert_eq!(listed, expected, "{index:#}");
    let made = artifacts(&fixture.farm, named(&done, "app")["id"].as_i64().unwrap()).await;
    let by_tag = format!("{}:v1", fixture.repository);
    assert_eq!(
        (&made[0]["reference"], &made[0]["platform"]),
        (&json!(by_tag), &Value::Null)
    );
    // The digest leads to the same manifest.
    assert_eq!(
        fetch_manifest(&fixture, made[0]["digest"].as_str().unwrap())
            .await
            .1,
        index
    );

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().to_str().unwrap();
    let (user, password) = (
        var("SLIPWAY_TEST_AUTH_REGISTRY_USER"),
        var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD"),
    );
    let registry = var("SLIPWAY_TEST_AUTH_REGISTRY");
    docker(&[
        "--config", config, "login", "-u", &user, "-p", &password, &registry,
    ]);
    docker(&["--config", config, "pull", "-q", &by_tag]);
    let here = docker(&[
        "image",
        "inspect",
        "--format",
        "{{.Os}}/{{.Architecture}}",
        &by_tag,
    ]);
    remove_image(&by_tag);
    assert_eq!(here, own);
}
