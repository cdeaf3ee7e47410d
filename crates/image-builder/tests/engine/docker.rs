//! Builds with a real Docker Engine and pushes to a real registry, named by
//! `SLIPWAY_TEST_REGISTRY` (`HOST:PORT`). Without either, these tests fail.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use slipway_domain::base_image::BaseImage;
use slipway_domain::{BuildStep, FailureReason, ImageBuild, Phase};
use slipway_image_builder::{
    Backend, BuildError, BuildRequest, Builder, BuiltImage, Origin, Progress, Variables,
};
use slipway_test_engine::{SHELL, docker, remove_image};
use tokio_util::sync::CancellationToken;

pub(crate) const BOTH: [Backend; 2] = [Backend::BuildKit, Backend::Classic];

#[derive(Default)]
pub(crate) struct Told {
    text: Mutex<String>,
    phases: Mutex<Vec<Phase>>,
    pub(crate) bases: Mutex<Vec<String>>,
    steps: Mutex<Vec<BuildStep>>,
    heard: tokio::sync::Notify,
}

impl Progress for Told {
    fn phase(&self, phase: Phase) {
        self.phases.lock().unwrap().push(phase);
    }

    fn base_image(&self, base: &BaseImage) {
        self.phase(Phase::Pulling);
        self.bases.lock().unwrap().push(base.to_string());
    }

    fn step(&self, step: &BuildStep) {
        self.steps.lock().unwrap().push(step.clone());
    }

    fn begins_again(&self) {
        self.steps.lock().unwrap().clear();
    }

    fn output(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        self.text.lock().unwrap().push_str(&text);
        self.heard.notify_one();
    }
}

impl Told {
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

    /// The step that did `instruction`.
    pub(crate) fn step(&self, instruction: &str) -> BuildStep {
        let steps = self.steps.lock().unwrap();
        let step = steps.iter().find(|step| step.name.contains(instruction));
        step.unwrap_or_else(|| panic!("{steps:?}")).clone()
    }

    pub(crate) async fn wait_for(&self, words: &str) {
        let heard = async {
            while !self.text().contains(words) {
                self.heard.notified().await;
            }
        };
        let limit = Duration::from_secs(60);
        let heard = tokio::time::timeout(limit, heard).await;
        assert!(heard.is_ok(), "no {words:?} in {}", self.text());
    }
}

pub(crate) fn unique() -> String {
    format!("{:032x}", rand::random::<u128>())
}

pub(crate) fn registry() -> String {
    std::env::var("SLIPWAY_TEST_REGISTRY").expect("SLIPWAY_TEST_REGISTRY names a registry")
}

pub(crate) async fn builder(backend: Backend) -> Builder {
    let builder = Builder::connect(&unique()).await.unwrap();
    assert_eq!(builder.backend(), Backend::BuildKit);
    builder.with_backend(backend)
}

/// A checkout with a shell for the image, and this Dockerfile.
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
    }
}

/// Builds without ever canceling.
pub(crate) async fn run(
    builder: &Builder,
    request: &BuildRequest,
    told: &Told,
) -> Result<BuiltImage, BuildError> {
    builder
        .build(request, told, &CancellationToken::new())
        .await
}

/// What a build of this Dockerfile that cannot succeed comes to.
pub(crate) async fn failure(
    backend: Backend,
    dockerfile: &str,
    spec: ImageBuild,
) -> (BuildError, String) {
    let dir = checkout(dockerfile);
    let told = Told::default();
    let builder = builder(backend).await;
    let request = request(dir.path(), spec);
    let error = run(&builder, &request, &told).await.unwrap_err();
    assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    (error, told.text())
}

#[tokio::test]
async fn an_image_without_a_repository_is_built_and_thrown_away() {
    for backend in BOTH {
        let dir = checkout(SHELL);
        let builder = builder(backend).await;
        let request = request(dir.path(), ImageBuild::default());
        let image = run(&builder, &request, &Told::default()).await.unwrap();
        assert_eq!(image.reference, None);
        assert!(image.digest.starts_with("sha256:"));
        assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_step_that_fails_is_named_with_its_exit_code() {
    for backend in BOTH {
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
async fn a_base_image_that_cannot_be_had_is_named() {
    for backend in BOTH {
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
async fn a_dockerfile_that_cannot_be_used_is_told_apart_from_one_that_is_not_there() {
    let target = ImageBuild {
        target: Some("nowhere".to_owned()),
        ..ImageBuild::default()
    };
    for backend in BOTH {
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
async fn canceling_kills_the_command_that_runs() {
    for backend in BOTH {
        let nap = format!("3{:07}", rand::random::<u128>() % 10_000_000);
        let dir = checkout(&format!("{SHELL}RUN echo napping; exec sleep {nap}\n"));
        let builder = builder(backend).await;
        let told = Told::default();
        let cancel = CancellationToken::new();
        let request = request(dir.path(), ImageBuild::default());
        let (built, ()) = tokio::join!(builder.build(&request, &told, &cancel), async {
            told.wait_for("napping\n").await;
            until(|| runs(&nap), "the command does not run").await;
            cancel.cancel();
        });
        assert!(matches!(built, Err(BuildError::Canceled)), "{built:?}");
        until(|| !runs(&nap), "the command still runs").await;
        assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    }
}

async fn until(condition: impl Fn() -> bool, otherwise: &str) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < Duration::from_secs(10), "{otherwise}");
        tokio::task::yield_now().await;
    }
}

/// Whether a process of this host sleeps for `nap` seconds.
fn runs(nap: &str) -> bool {
    let wanted = format!("sleep\0{nap}\0");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| line == wanted.as_bytes())
}

#[tokio::test]
async fn builds_leave_no_connection_open() {
    let dir = checkout(SHELL);
    let builder = builder(Backend::BuildKit).await;
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut counts = Vec::new();
    for _ in 0..4 {
        let request = request(dir.path(), ImageBuild::default());
        run(&builder, &request, &Told::default()).await.unwrap();
        counts.push(open());
    }
    assert!(counts[3] <= counts[0] + 1, "{counts:?}");
}

#[tokio::test]
async fn pruning_keeps_the_cache_that_fits() {
    let dir = checkout(&format!("{SHELL}RUN echo {}\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let build = async || {
        let told = Told::default();
        let request = request(dir.path(), ImageBuild::default());
        run(&builder, &request, &told).await.unwrap();
        told.text()
    };
    build().await;
    builder.prune(1 << 40).await.unwrap();
    assert!(build().await.contains("CACHED"));
}

#[tokio::test]
async fn what_a_dead_predecessor_left_is_found_by_its_owner_alone() {
    let dir = checkout(SHELL);
    let (job, dead) = (unique(), unique());
    let labels = [
        format!("--label=io.slipway.job={job}"),
        format!("--label=io.slipway.runner={dead}"),
    ];
    let left = format!("slipway-job:left-{job}");
    let [of_job, of_runner] = labels.each_ref().map(String::as_str);
    let context = dir.path().to_str().unwrap();
    let build = ["build", "--no-cache", "-q", "-t", &left];
    docker(&[&build[..], &[of_job, of_runner, context]].concat());
    let script = format!("slipway-{dead}-job-{job}");
    docker(&["create", "--name", &script, of_job, of_runner, &left, "sh"]);
    let alive = builder(Backend::BuildKit).await;
    assert_eq!(alive.remove_leftovers().await.unwrap(), 0);
    let successor = Builder::connect(&dead).await.unwrap();
    assert_eq!(successor.remove_leftovers().await.unwrap(), 2);
    assert_eq!(successor.remove_leftovers().await.unwrap(), 0);
}

#[tokio::test]
async fn images_that_somebody_uses_here_and_their_containers_are_no_leftovers() {
    let dir = checkout(&format!("{SHELL}RUN echo {} > /x\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let repository = format!("{}/test/{}", registry(), unique());
    let spec = ImageBuild {
        repository: Some(repository.parse().unwrap()),
        tags: vec!["v1".to_owned()],
        ..ImageBuild::default()
    };
    let request = request(dir.path(), spec);
    run(&builder, &request, &Told::default()).await.unwrap();
    let image = format!("{repository}:v1");
    docker(&["pull", "-q", &image]);
    let container = format!("api-{}", request.job);
    let script = ["sh", "-c", "sleep 600"];
    let run = ["run", "-d", "--name", &container, &image];
    docker(&[&run[..], &script[..]].concat());
    assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    let state = docker(&["inspect", "-f", "{{.State.Running}}", &container]);
    assert_eq!(state, "true");
    docker(&["rm", "-f", &container]);
    assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    remove_image(&image);
}
