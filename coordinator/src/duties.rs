//! The periodic duties of the farm. Each is a function of the farm that does all that is due; this
//! module only calls them.

use std::time::Duration;

use slipway_farm::{Farm, FarmError};
use slipway_tasks::{run_every, spawn};
use tokio_util::sync::{CancellationToken, DropGuard};

const LEASES_EVERY: Duration = Duration::from_secs(1);
const BUILDS_EVERY: Duration = Duration::from_secs(1);
const PARKED_EVERY: Duration = Duration::from_secs(10);
const DISKS_EVERY: Duration = Duration::from_secs(1);
const FILES_EVERY: Duration = Duration::from_secs(30);
const STATUSES_EVERY: Duration = Duration::from_secs(1);
const DELIVERIES_EVERY: Duration = Duration::from_secs(3600);
const ORPHANS_EVERY: Duration = Duration::from_secs(3600);

/// Starts all duties. They end when the returned guard is dropped.
///
/// A test that moves the clock calls the duties that look at it by itself: if they ran in the background as
/// well, what they find would depend on how fast the test is.
pub(crate) fn start(farm: &Farm) -> DropGuard {
    let stop = CancellationToken::new();
    if !farm.clock().is_manual() {
        start_expiry(farm, &stop);
    }
    repeat(
        farm,
        "parked polls",
        PARKED_EVERY,
        &stop,
        |farm| async move {
            log_failure(farm.look_for_parked_polls().await);
        },
    );
    repeat(farm, "disk space", DISKS_EVERY, &stop, |farm| async move {
        farm.check_disks();
    });
    let github = farm.settings().github.as_ref();
    // Statuses can only be sent with a token.
    if github.is_some_and(slipway_github::Github::has_token) {
        repeat(
            farm,
            "commit statuses",
            STATUSES_EVERY,
            &stop,
            |farm| async move {
                log_failure(farm.report_statuses().await);
            },
        );
    }
    let (signals, stopped) = (farm.clone(), stop.clone());
    spawn("signals", async move {
        stopped.run_until_cancelled(signals.relay_signals()).await;
    });
    stop.drop_guard()
}

/// Starts the duties that end or delete what is too old.
fn start_expiry(farm: &Farm, stop: &CancellationToken) {
    repeat(
        farm,
        "lease expiry",
        LEASES_EVERY,
        stop,
        |farm| async move {
            log_failure(farm.expire_leases().await);
        },
    );
    repeat(
        farm,
        "build expiry",
        BUILDS_EVERY,
        stop,
        |farm| async move {
            log_failure(farm.expire_builds().await);
        },
    );
    repeat(farm, "file expiry", FILES_EVERY, stop, |farm| async move {
        log_failure(farm.expire_artifacts().await);
        log_failure(farm.expire_uploads().await);
        log_failure(farm.expire_artifact_uploads().await);
    });
    repeat(
        farm,
        "webhook deliveries",
        DELIVERIES_EVERY,
        stop,
        |farm| async move {
            log_failure(farm.delete_old_deliveries().await);
        },
    );
    repeat(farm, "orphans", ORPHANS_EVERY, stop, |farm| async move {
        log_failure(farm.delete_orphans().await);
    });
}

/// Calls `duty` now and then every `interval`, until `stop`.
fn repeat<D, F>(
    farm: &Farm,
    name: &'static str,
    interval: Duration,
    stop: &CancellationToken,
    duty: D,
) where
    D: Fn(Farm) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let farm = farm.clone();
    run_every(name, interval, stop.clone(), move || duty(farm.clone()));
}

/// A duty that fails is tried again at its next tick.
fn log_failure<T>(done: Result<T, FarmError>) {
    if let Err(error) = done {
        error.log();
    }
}
