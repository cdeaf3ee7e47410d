//! How a build reports its progress.

use futures_util::future::BoxFuture;
use slipway_domain::base_image::BaseImage;
use slipway_domain::{BuildStep, Phase};

/// Receives the progress of one job. Calls come in order, and must not block for long.
pub trait Progress: Send + Sync {
    /// The job enters `phase`.
    fn phase(&self, phase: Phase);
    /// The job enters the pulling phase; `base` is the first of its base images.
    fn base_image(&self, base: &BaseImage);
    /// Waits until the last phase is reported to the coordinator, which decides by it whether the
    /// job can still be canceled.
    fn phase_reported(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
    /// A step of an image build has ended.
    fn step(&self, _step: &BuildStep) {}
    /// The build starts over: the steps reported so far do not count.
    fn build_restarted(&self) {}
    /// Appends text to the trace.
    fn output(&self, text: &[u8]);
}
