//! Fixtures for tests with a real Docker Engine and a real registry, and tests of single builds.
//!
//! `SLIPWAY_TEST_REGISTRY` (`HOST:PORT`) names the registry. The tests fail without it or without
//! an engine.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use slipway_domain::base_image::BaseImage;
use slipway_domain::{BuildStep, FailureReason, ImageBuild, Phase};
use slipway_image_builder::{
    Backend, BuildError, BuildRequest, Builder, BuiltImage, FileModes, Origin, Progress, Variables,
};
use slipway_outbound::{NetworkPolicy, Outbound};
use slipway_test_engine::{SHELL, is_podman};
use tokio_util::sync::CancellationToken;

/// The builders that the engine has.
pub(crate) fn backends() -> Vec<Backend> {
    if is_podman() {
        vec![Backend::Classic]
    } else {
        vec![Backend::BuildKit, Backend::Classic]
    }
}

/// Records everything that a build reports.
#[derive(Default)]
pub(crate) struct RecordedProgress {
    text: Mutex<String>,
    phases: Mutex<Vec<Phase>>,
    pub(crate) base_images: Mutex<Vec<String>>,
    steps: Mutex<Vec<BuildStep>>,
    changed: tokio::sync::Notify,
}

impl Progress for RecordedProgress {
    fn phase(&self, phase: Phase) {
        self.phases.lock().unwrap().push(phase);
    }

    fn base_image(&self, base: &BaseImage) {
        self.phase(Phase::Pulling);
        self.base_images.lock().unwrap().push(base.to_string());
    }

    fn step(&self, step: &BuildStep) {
        self.steps.lock().unwrap().push(step.clone());
    }

    fn build_restarted(&self) {
        self.steps.lock().unwrap().clear();
    }

    fn output(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        self.text.lock().unwrap().push_str(&text);
        self.changed.notify_one();
    }
}

impl RecordedProgress {
    /// The trace so far.
    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    pub(crate) fn phases(&self) -> Vec<Phase> {
        self.phases.lock().unwrap().clone()
    }

    /// The steps that have ended.
    pub(crate) fn steps(&self) -> Vec<BuildStep> {
        self.steps.lock().unwrap().clone()
    }

    /// The step whose name contains `instruction`.
    pub(crate) fn step(&self, instruction: &str) -> BuildStep {
        let steps = self.steps.lock().unwrap();
        let step = steps.iter().find(|step| step.name.contains(instruction));
        step.unwrap_or_else(|| panic!("{steps:?}")).clone()
    }

    /// Waits until the trace contains `words`.
    pub(crate) async fn wait_for(&self, words: &str) {
        let found = async {
            while !self.text().contains(words) {
                self.changed.notified().await;
            }
        };
        let limit = Duration::from_secs(60);
        let found = tokio::time::timeout(limit, found).await;
        assert!(found.is_ok(), "no {words:?} in {}", self.text());
    }
}

/// A name that no other test uses.
pub(crate) fn unique() -> String {
    format!("{:032x}", rand::random::<u128>())
}

pub(crate) fn registry() -> String {
    std::env::var("SLIPWAY_TEST_REGISTRY").expect("SLIPWAY_TEST_REGISTRY names a registry")
}

/// Allows the registries of the tests, which are on loopback.
pub(crate) fn outbound() -> Outbound {
    let loopback = vec!["127.0.0.0/8".parse().unwrap()];
    Outbound::start(NetworkPolicy::new(loopback, Vec::new())).unwrap()
}

/// A builder with an owner of its own.
pub(crate) async fn builder(backend: Backend) -> Builder {
    let builder = Builder::connect(&unique(), outbound()).await.unwrap();
    assert_eq!(builder.backend(), backends()[0]);
    builder.with_backend(backend)
}

/// A checkout with this Dockerfile, and with `busybox` as a shell for the image.
pub(crate) fn checkout(dockerfile: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
    std::fs::copy("/bin/busybox", dir.path().join("busybox")).unwrap();
    dir
}

pub(crate) fn request(checkout: &Path, spec: ImageBuild) -> BuildRequest {
    BuildRequest {
        job: unique(),
        checkout: checkout.to_owned(),
        modes: FileModes::default(),
        spec,
        origin: Origin {
            source: Some("https://example.org/acme/api".to_owned()),
            revision: Some("0123".to_owned()),
            ..Origin::default()
        },
        logins: Vec::new(),
        pull_login: None,
        variables: Variables::default(),
        scratch: std::env::temp_dir(),
        source_date: None,
        cache_scope: None,
    }
}

/// Builds without canceling.
pub(crate) async fn run(
    builder: &Builder,
    request: &BuildRequest,
    progress: &RecordedProgress,
) -> Result<BuiltImage, BuildError> {
    builder
        .build(request, progress, &CancellationToken::new())
        .await
}

/// The error and the trace of a build that must fail.
pub(crate) async fn failure(
    backend: Backend,
    dockerfile: &str,
    spec: ImageBuild,
) -> (BuildError, String) {
    let dir = checkout(dockerfile);
    let progress = RecordedProgress::default();
    let builder = builder(backend).await;
    let request = request(dir.path(), spec);
    let error = run(&builder, &request, &progress).await.unwrap_err();
    assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    (error, progress.text())
}

#[tokio::test]
async fn an_image_without_a_repository_is_built_and_deleted() {
    for backend in backends() {
        let dir = checkout(SHELL);
        let builder = builder(backend).await;
        let request = request(dir.path(), ImageBuild::default());
        let image = run(&builder, &request, &RecordedProgress::default())
            .await
            .unwrap();
        assert_eq!(image.reference, None);
        assert!(image.digest.starts_with("sha256:"));
        assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_step_that_fails_is_named_with_its_exit_code() {
    for backend in backends() {
        let dockerfile = format!("{SHELL}RUN echo before; exit 3\n");
        let (error, trace) = failure(backend, &dockerfile, ImageBuild::default()).await;
        assert!(
            matches!(&error, BuildError::BuildFailed { step, code: Some(3), .. } if step.contains("exit 3")),
            "{backend:?}: {error:?}"
        );
        assert!(trace.contains("before"), "{trace}");
        let (error, _) = failure(
            backend,
            "FROM scratch\nCOPY nothing /\n",
            ImageBuild::default(),
        )
        .await;
        assert!(
            matches!(&error, BuildError::BuildFailed { step, code: None, .. } if step.contains("COPY nothing")),
            "{backend:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_base_image_that_cannot_be_pulled_is_named() {
    for backend in backends() {
        let nothing = format!("{}/no/such:1", registry());
        for image in ["127.0.0.1:1/a:1", &nothing] {
            let dockerfile = format!("FROM {image}\nRUN true\n");
            let (error, trace) = failure(backend, &dockerfile, ImageBuild::default()).await;
            assert!(
                matches!(&error, BuildError::BaseImageUnavailable { image: named, .. } if named == image),
                "{backend:?}: {error:?} {trace}"
            );
        }
    }
}

#[tokio::test]
async fn an_invalid_dockerfile_and_a_missing_one_have_different_reasons() {
    let target = ImageBuild {
        target: Some("nowhere".to_owned()),
        ..ImageBuild::default()
    };
    for backend in backends() {
        for (dockerfile, spec) in [
            ("FRMO scratch\n", ImageBuild::default()),
            ("", ImageBuild::default()),
            ("RUN true\n", ImageBuild::default()),
            ("FROM scratch\nCOPY a\n", ImageBuild::default()),
            (SHELL, target.clone()),
        ] {
            let (error, _) = failure(backend, dockerfile, spec).await;
            assert_eq!(
                error.reason(),
                FailureReason::DockerfileInvalid,
                "{backend:?} {dockerfile:?}: {error:?}"
            );
        }
        let spec = ImageBuild {
            dockerfile: "other/Dockerfile".to_owned(),
            ..ImageBuild::default()
        };
        let (error, _) = failure(backend, SHELL, spec).await;
        assert_eq!(error.reason(), FailureReason::DockerfileMissing);
    }
}

#[tokio::test]
async fn builds_leave_no_connection_open() {
    let dir = checkout(SHELL);
    let builder = builder(Backend::BuildKit).await;
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut counts = Vec::new();
    for _ in 0..4 {
        let request = request(dir.path(), ImageBuild::default());
        run(&builder, &request, &RecordedProgress::default())
            .await
            .unwrap();
        counts.push(open());
    }
    assert!(counts[3] <= counts[0] + 1, "{counts:?}");
}
