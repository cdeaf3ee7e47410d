//! Secrets and reproducible dates of image builds.

use serde_json::json;

use super::scripts::{needing, zipped};
use super::{Repository, runner};
use crate::fake_coordinator::{FakeCoordinator, until_empty};

/// Prints the secret as it is, in base64 at each alignment and wrapped into lines, and in pieces.
const DOCKERFILE: &str = r#"FROM scratch
COPY busybox /bin/sh
RUN ["/bin/sh", "--install", "-s", "/bin"]
RUN --mount=type=secret,id=npm cat /run/secrets/npm; echo; echo plain; \
    base64 /run/secrets/npm; \
    for user in a ab abc; do printf "$user:%s" "$(cat /run/secrets/npm)" | base64; done; \
    printf '%0200d%s%0200d' 0 "$(cat /run/secrets/npm)" 0 | base64; \
    printf '%016370d' 0; cat /run/secrets/npm; printf '%060000d\n' 0; \
    for n in 1 2 3 4 5; do dd if=/run/secrets/npm bs=7 skip=$((n - 1)) count=1 2>/dev/null; done; \
    echo; sleep 1; echo shown
"#;

#[tokio::test]
async fn a_secret_that_a_dockerfile_prints_is_masked_in_every_form() {
    let secret = format!("{:032x}", rand::random::<u128>());
    let repository = Repository::with(&format!("{DOCKERFILE}RUN echo {}\n", rand::random::<u64>()));
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let spec = json!({
        "kind": "image_build", "no_cache": true, "secrets": {"npm": "NPM_TOKEN"},
    });
    let mut job = repository.job(&spec);
    // A mounted secret is masked even if the variable is public.
    job["variables"] = json!([{"key": "NPM_TOKEN", "value": secret, "public": true}]);
    fake.enqueue(51, &[], job);
    let held = fake.until_reported(51).await;
    let trace = String::from_utf8_lossy(&held.trace).into_owned();
    assert_eq!(held.status, "success", "{trace}");
    assert!(trace.contains("shown"), "{trace}");
    assert!(trace.matches("[MASKED]").count() >= 7, "{trace}");
    assert!(!trace.contains(&secret), "{trace}");
    // No 9 bytes of it are visible in base64 either, at any alignment.
    let bytes = secret.as_bytes();
    for part in bytes.windows(9).skip(3).take(bytes.len() - 15) {
        let form = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, part);
        assert!(!trace.contains(&form), "{form} in {trace}");
    }
    let report = held.report.unwrap();
    let step = |words: &str| {
        let mut steps = report.build_steps.iter();
        steps
            .find(|step| step.name.contains(words))
            .unwrap()
            .clone()
    };
    let shown = step("RUN --mount=type=secret");
    assert!(shown.duration_ms >= 1000 && !shown.failed, "{shown:?}");
    let image = report.image.unwrap();
    assert!(image.details.platform.is_some(), "{image:?}");
    assert!(image.details.layers.len() > 1, "{image:?}");
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_missing_secret_fails_with_secret_missing() {
    let repository = Repository::with("FROM scratch\nCOPY busybox /bin/sh\nRUN exit 3\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let spec = json!({"kind": "image_build", "secrets": {"npm": "NPM_TOKEN"}});
    fake.enqueue(52, &[], repository.job(&spec));
    let held = fake.until_reported(52).await;
    let report = held.report.unwrap();
    assert_eq!(report.failure_reason.as_deref(), Some("secret_missing"));
    assert_eq!(
        report.failure_message.as_deref(),
        Some("secret `npm` refers to variable `NPM_TOKEN`, which is not set on the project")
    );
    assert!(report.build_steps.is_empty());

    let spec = json!({"kind": "image_build"});
    fake.enqueue(53, &[], repository.job(&spec));
    let report = fake.until_reported(53).await.report.unwrap();
    let failed = report.build_steps.iter().find(|step| step.failed);
    assert!(failed.unwrap().name.contains("RUN exit 3"));
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
}

#[tokio::test]
async fn source_date_commit_makes_builds_reproducible() {
    let registry =
        std::env::var("SLIPWAY_TEST_REGISTRY").expect("SLIPWAY_TEST_REGISTRY is not set");
    let repository = Repository::with(&format!(
        "FROM scratch\nCOPY busybox /bin/sh\nARG SOURCE_DATE_EPOCH\nRUN echo at $SOURCE_DATE_EPOCH {}\n",
        rand::random::<u64>()
    ));
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let image = format!("{registry}/story/a{}", rand::random::<u64>());
    let spec = json!({
        "kind": "image_build", "repository": image, "tags": ["v1"], "source_date": "commit",
    });
    let mut job = repository.job(&spec);
    // The engine takes the files of the second image from the cache of the first one.
    let scope = format!("{:032x}", rand::random::<u128>());
    job["own"]["isolation"] = json!({
        "project_scope": format!("{scope}-all"), "trust_scope": scope, "trust": "ref",
    });
    let mut digests = Vec::new();
    for id in [54, 55] {
        fake.enqueue(id, &[], job.clone());
        let held = fake.until_reported(id).await;
        let trace = String::from_utf8_lossy(&held.trace).into_owned();
        assert_eq!(held.status, "success", "{trace}");
        let time = format!("at {}", repository.commit_time());
        assert!(trace.contains(&time) || id == 55, "{trace}");
        digests.push(held.report.unwrap().image.unwrap().digest);
    }
    assert_eq!(digests[0], digests[1]);
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_git_configuration_among_the_files_of_a_needed_job_runs_nothing() {
    let repository = Repository::with("FROM scratch\nCOPY busybox /bin/sh\nRUN echo built\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("marker");
    let command = format!("touch {}", marker.display());
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = \"{command}\"\n\tpager = \"{command}\"\n\
         \tsshCommand = \"{command}\"\n[log]\n\tshowSignature = true\n\
         [alias]\n\tlog = \"!{command}\"\n[include]\n\tpath = {}\n",
        dir.path().join("included").display()
    );
    fake.change(|state| {
        state
            .artifacts
            .insert(1, zipped(&[(".git/config", &config)]))
    });
    let spec = json!({"kind": "image_build", "source_date": "commit"});
    fake.enqueue(57, &[], needing(repository.job(&spec), 1));
    let held = fake.until_reported(57).await;
    let trace = String::from_utf8_lossy(&held.trace).into_owned();
    assert_eq!(held.status, "success", "{trace}");
    assert!(
        trace.contains("Unpacking the artifacts of first"),
        "{trace}"
    );
    assert!(!marker.exists());
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_registry_that_is_not_allowed_is_neither_pulled_from_nor_pushed_to() {
    // The runner of these tests allows loopback only.
    let other = "169.254.169.254";
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let random = rand::random::<u64>();
    for (id, base, target) in [
        (58, format!("{other}/base:1"), "127.0.0.1:1".to_owned()),
        (59, "scratch".to_owned(), other.to_owned()),
    ] {
        let dockerfile = format!("FROM {base}\nCOPY busybox /bin/sh\nLABEL n={random}\n");
        let repository = Repository::with(&dockerfile);
        let image = format!("{target}/story/a{random}");
        let spec = json!({"kind": "image_build", "repository": image, "tags": ["v1"]});
        fake.enqueue(id, &[], repository.job(&spec));
        let held = fake.until_reported(id).await;
        let trace = String::from_utf8_lossy(&held.trace).into_owned();
        assert_eq!(held.status, "failed", "{trace}");
        assert!(trace.contains("are not allowed"), "{trace}");
        assert!(trace.contains("SLIPWAY_ALLOW_NET"), "{trace}");
    }
    runner.drain(&fake).await;
}
