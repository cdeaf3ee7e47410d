//! A build that is called off at the door to its registry.

use futures_util::future::BoxFuture;
use slipway_domain::base_image::BaseImage;
use slipway_domain::{ImageBuild, Phase};
use slipway_image_builder::{Backend, BuildError, Progress};
use slipway_test_engine::SHELL;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::docker::{Told, builder, checkout, registry, request, unique};

/// Is told everything, and never says that it has heard of a phase.
#[derive(Default)]
struct Silent {
    told: Told,
    asked: Notify,
}

impl Progress for Silent {
    fn phase(&self, phase: Phase) {
        self.told.phase(phase);
    }

    fn base_image(&self, base: &BaseImage) {
        self.told.base_image(base);
    }

    fn heard(&self) -> BoxFuture<'_, ()> {
        self.asked.notify_one();
        Box::pin(std::future::pending())
    }

    fn output(&self, text: &[u8]) {
        self.told.output(text);
    }
}

#[tokio::test]
async fn nothing_is_pushed_before_the_phase_is_heard_of() {
    let builder = builder(Backend::BuildKit).await;
    let dir = checkout(SHELL);
    let spec = ImageBuild {
        repository: Some(format!("{}/test/{}", registry(), unique()).parse().unwrap()),
        tags: vec!["1".to_owned()],
        ..ImageBuild::default()
    };
    let request = request(dir.path(), spec);
    let (silent, cancel) = (Silent::default(), CancellationToken::new());
    let (built, ()) = tokio::join!(
        async {
            let built = builder.build(&request, &silent, &cancel).await;
            // Whatever came of it, nobody has to wait any more.
            silent.asked.notify_one();
            built
        },
        async {
            silent.asked.notified().await;
            cancel.cancel();
        }
    );
    assert!(matches!(built, Err(BuildError::Canceled)), "{built:?}");
    let text = silent.told.text();
    assert!(!text.contains("Pushing"), "{text}");
    assert_eq!(silent.told.phases().last(), Some(&Phase::Pushing));
}
