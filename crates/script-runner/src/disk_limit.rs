//! The limit on what a container writes to the disk.

use std::time::Duration;

use bollard::query_parameters::InspectContainerOptions;
use slipway_image_builder::Builder;

use crate::error::ScriptError;

/// How often the size is checked. For each check the engine walks all files that the container wrote.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Waits until the container exceeds the disk limit. Waits forever if there is no limit.
pub(crate) async fn exceeded(builder: &Builder, name: &str) -> ScriptError {
    let Some(limit) = builder.limits().disk_bytes else {
        return std::future::pending().await;
    };
    loop {
        let options = InspectContainerOptions { size: true };
        let container = builder
            .engine()
            .inspect_container(name, Some(options))
            .await;
        // If the engine does not answer, the script fails elsewhere; the limit is not exceeded.
        let written = container.ok().and_then(|container| container.size_rw);
        if written.is_some_and(|bytes| u64::try_from(bytes).is_ok_and(|bytes| bytes > limit)) {
            return ScriptError::DiskLimitExceeded {
                limit_mb: limit >> 20,
            };
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}
