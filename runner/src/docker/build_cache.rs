//! Keeping the engine's build cache within its limits.

use std::time::Duration;

use slipway_image_builder::Builder;

/// How much build cache is kept in the engine.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// The size limit, in bytes.
    pub bytes: u64,
    /// How long unused cache is kept. `None` means that only the size limits it.
    pub age: Option<Duration>,
}

/// Prunes the cache by age and size.
pub(super) async fn prune(builder: &Builder, cache: &CacheLimits) {
    let by_age = async {
        match cache.age {
            Some(age) => builder.prune_unused_for(age).await,
            None => Ok(0),
        }
    };
    for pruned in [by_age.await, builder.prune(cache.bytes).await] {
        match pruned {
            Ok(0) => {}
            Ok(freed) => tracing::info!(size_bytes = freed, "Pruned the build cache"),
            // The engine refuses to prune while it already prunes for another job. The next job
            // tries again.
            Err(error) => tracing::debug!(%error, "Could not prune the build cache"),
        }
    }
}

/// Prunes more and more of the cache until `is_enough` returns true. Cache that running builds use
/// stays.
pub(super) async fn free_space(
    builder: &Builder,
    cache: &CacheLimits,
    is_enough: &(dyn Fn() -> bool + Send + Sync),
) {
    // In steps, so that no more of the cache is lost than necessary.
    for bytes in [cache.bytes / 2, cache.bytes / 8, 0] {
        prune(builder, &CacheLimits { bytes, ..*cache }).await;
        if is_enough() {
            return;
        }
    }
}
