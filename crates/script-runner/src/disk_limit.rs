//! How much a container has written, which the engine tells to those who ask.

use std::time::Duration;

use bollard::query_parameters::InspectContainerOptions;
use slipway_image_builder::Builder;

use crate::error::ScriptError;

/// The pause between two looks: each reads through all that the container has written.
const LOOK: Duration = Duration::from_secs(2);

/// Waits until the container has written more than a job may, which may be never.
pub(crate) async fn watch(builder: &Builder, name: &str) -> ScriptError {
    let Some(limit) = builder.limits().disk_bytes else {
        return std::future::pending().await;
    };
    loop {
        let options = InspectContainerOptions { size: true };
        let found = builder
            .engine()
            .inspect_container(name, Some(options))
            .await;
        let written = found.ok().and_then(|container| container.size_rw);
        if written.is_some_and(|bytes| u64::try_from(bytes).is_ok_and(|bytes| bytes > limit)) {
            return ScriptError::OverDisk {
                limit_mb: limit >> 20,
            };
        }
        tokio::time::sleep(LOOK).await;
    }
}
