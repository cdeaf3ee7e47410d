//! Canceling builds.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use slipway_domain::base_image::BaseImage;
use slipway_domain::{ImageBuild, Phase};
use slipway_image_builder::{Backend, BuildError, Progress};
use slipway_test_engine::SHELL;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::docker::{RecordedProgress, backends, builder, checkout, registry, request, unique};

/// Never acknowledges a phase, like a coordinator that does not answer.
#[derive(Default)]
struct UnacknowledgedProgress {
    recorded: RecordedProgress,
    waiting: Notify,
}

impl Progress for UnacknowledgedProgress {
    fn phase(&self, phase: Phase) {
        self.recorded.phase(phase);
    }

    fn base_image(&self, base: &BaseImage) {
        self.recorded.base_image(base);
    }

    fn phase_reported(&self) -> BoxFuture<'_, ()> {
        self.waiting.notify_one();
        Box::pin(std::future::pending())
    }

    fn output(&self, text: &[u8]) {
        self.recorded.output(text);
    }
}

#[tokio::test]
async fn nothing_is_pushed_before_the_pushing_phase_is_acknowledged() {
    let builder = builder(Backend::BuildKit).await;
    let dir = checkout(SHELL);
    let spec = ImageBuild {
        repository: Some(format!("{}/test/{}", registry(), unique()).parse().unwrap()),
        tags: vec!["1".to_owned()],
        ..ImageBuild::default()
    };
    let request = request(dir.path(), spec);
    let (progress, cancel) = (UnacknowledgedProgress::default(), CancellationToken::new());
    let (built, ()) = tokio::join!(
        async {
            let built = builder.build(&request, &progress, &cancel).await;
            // If the build ends without pushing, the other branch must not wait forever.
            progress.waiting.notify_one();
            built
        },
        async {
            progress.waiting.notified().await;
            cancel.cancel();
        }
    );
    assert!(matches!(built, Err(BuildError::Canceled)), "{built:?}");
    let text = progress.recorded.text();
    assert!(!text.contains("Pushing"), "{text}");
    assert_eq!(progress.recorded.phases().last(), Some(&Phase::Pushing));
}

#[tokio::test]
async fn cancel_kills_the_running_command() {
    for backend in backends() {
        let seconds = format!("3{:07}", rand::random::<u128>() % 10_000_000);
        let dir = checkout(&format!("{SHELL}RUN echo sleeping; exec sleep {seconds}\n"));
        let builder = builder(backend).await;
        let progress = RecordedProgress::default();
        let cancel = CancellationToken::new();
        let request = request(dir.path(), ImageBuild::default());
        let (built, ()) = tokio::join!(builder.build(&request, &progress, &cancel), async {
            progress.wait_for("sleeping\n").await;
            wait_until(|| is_sleeping(&seconds), "the command does not run").await;
            cancel.cancel();
        });
        assert!(matches!(built, Err(BuildError::Canceled)), "{built:?}");
        wait_until(|| !is_sleeping(&seconds), "the command still runs").await;
        assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    }
}

async fn wait_until(condition: impl Fn() -> bool, otherwise: &str) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < Duration::from_secs(10), "{otherwise}");
        tokio::task::yield_now().await;
    }
}

/// Whether a process on this host runs `sleep` with `seconds`.
fn is_sleeping(seconds: &str) -> bool {
    let wanted = format!("sleep\0{seconds}\0");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| line == wanted.as_bytes())
}
