//! Packages instead of a commit.

use serde_json::{Value, json};

use super::runner;
use crate::fake_coordinator::{FakeCoordinator, FakeJob, until_empty};

/// The payload members of a job that builds an uploaded package.
fn job(spec: Value) -> Value {
    let mut own = json!({
        "spec": {
            "kind": "image_build", "pull": true,
            "package": {
                "source": {"upload": "3f0e9a3c-6f0e-4a55-9a5c-2f9a3c1b7e10"},
                "location": {"dockerfile_path": "/Dockerfile", "context": "/"},
            },
        },
        "build": "b", "number": 1, "attempt": 1, "lease_s": 15,
    });
    for (key, value) in spec.as_object().cloned().unwrap_or_default() {
        own["spec"][key] = value;
    }
    // Without a repository, an attempt to check out fails.
    json!({"repo_url": "", "sha": "0".repeat(40), "own": own})
}

fn upload(fake: &FakeCoordinator, id: i64, dockerfile: &str) {
    let package = ("text/plain", dockerfile.as_bytes().to_vec());
    fake.change(|state| state.packages.insert(id, package));
}

fn trace(held: &FakeJob) -> String {
    String::from_utf8_lossy(&held.trace).into_owned()
}

#[tokio::test]
async fn an_uploaded_package_is_built_and_every_phase_is_reported_in_order() {
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    upload(&fake, 81, "FROM scratch\nLABEL a=b\n");
    fake.enqueue(81, &[], job(json!({})));
    let held = fake.until_reported(81).await;
    assert_eq!(held.status, "success", "{}", trace(&held));
    assert_eq!(held.phases, ["fetching", "pulling", "building"]);
    let bases = serde_json::to_value(&held.bases).unwrap();
    assert_eq!(bases, json!([{"image": "scratch"}]));
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_missing_upload_fails_with_package_unavailable() {
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    fake.enqueue(82, &[], job(json!({})));
    let report = fake.until_reported(82).await.report.unwrap();
    assert_eq!(
        report.failure_reason.as_deref(),
        Some("package_unavailable")
    );
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_build_that_is_canceled_before_the_push_is_not_pushed() {
    let registry = std::env::var("SLIPWAY_TEST_REGISTRY").unwrap();
    let path = format!("story/c{}", rand::random::<u64>());
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    upload(&fake, 86, "FROM scratch\nLABEL a=b\n");
    fake.change(|state| state.canceled_at = Some("pushing"));
    let repository = format!("{registry}/{path}");
    let spec = json!({"repository": repository, "tags": ["1"]});
    fake.enqueue(86, &[], job(spec));
    let held = fake.until(86, |held| held.status == "canceled").await;
    assert_eq!(held.phases.last().map(String::as_str), Some("pushing"));
    until_empty(&runner.jobs_dir()).await;
    let manifest = format!("http://{registry}/v2/{path}/manifests/1");
    assert_eq!(reqwest::get(manifest).await.unwrap().status(), 404);
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_base_image_is_pulled_with_the_pull_login() {
    let var = |name: &str| std::env::var(format!("SLIPWAY_TEST_AUTH_REGISTRY{name}")).unwrap();
    let (registry, user) = (var(""), var("_USER"));
    let login = json!({
        "type": "registry", "url": registry, "username": user, "password": var("_PASSWORD"),
    });
    let base = format!("{registry}/story/b{}", rand::random::<u64>());
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    upload(&fake, 83, "FROM scratch\nLABEL a=b\n");
    let mut made = job(json!({"repository": base, "tags": ["1"]}));
    made["credentials"] = json!([login]);
    fake.enqueue(83, &[], made);
    let held = fake.until_reported(83).await;
    assert_eq!(held.status, "success", "{}", trace(&held));

    let dockerfile = format!("FROM {base}:1\nLABEL c=d\n");
    upload(&fake, 84, &dockerfile);
    let mut with_login = job(json!({}));
    with_login["own"]["pull_login"] = login;
    fake.enqueue(84, &[], with_login);
    let held = fake.until_reported(84).await;
    assert_eq!(held.status, "success", "{}", trace(&held));
    let bases = serde_json::to_value(&held.bases).unwrap();
    let image = format!("{base}:1");
    assert_eq!(bases, json!([{"image": image, "username": user}]));

    upload(&fake, 85, &dockerfile);
    fake.enqueue(85, &[], job(json!({})));
    let held = fake.until_reported(85).await;
    assert_eq!(
        serde_json::to_value(&held.bases).unwrap(),
        json!([{ "image": image }])
    );
    let report = held.report.unwrap();
    assert_eq!(
        report.failure_reason.as_deref(),
        Some("base_image_unavailable")
    );
    runner.drain(&fake).await;
}
