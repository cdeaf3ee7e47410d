//! The loops around the farm's duties. A loop only sleeps; what it calls does what is due.

use std::time::Duration;

use slipway_farm::Farm;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

const LEASES_EVERY: Duration = Duration::from_secs(1);
const BUILDS_EVERY: Duration = Duration::from_secs(1);
const FILES_EVERY: Duration = Duration::from_secs(30);
const STATUSES_EVERY: Duration = Duration::from_secs(1);
const DELIVERIES_EVERY: Duration = Duration::from_secs(3600);

/// Starts all duties; they end when the set is dropped.
pub(crate) fn start(farm: &Farm) -> JoinSet<()> {
    let mut duties = JoinSet::new();
    let leases = farm.clone();
    duties.spawn(async move {
        let mut ticks = ticks(LEASES_EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = leases.expire_leases().await {
                error.log();
            }
        }
    });
    let builds = farm.clone();
    duties.spawn(async move {
        let mut ticks = ticks(BUILDS_EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = builds.expire_builds().await {
                error.log();
            }
        }
    });
    let files = farm.clone();
    duties.spawn(async move {
        let mut ticks = ticks(FILES_EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = files.expire_artifacts().await {
                error.log();
            }
            if let Err(error) = files.expire_uploads().await {
                error.log();
            }
        }
    });
    // Without a token nobody is told anything.
    let github = farm.settings().github.as_ref();
    if github.is_some_and(slipway_github::Github::has_token) {
        let statuses = farm.clone();
        duties.spawn(async move {
            let mut ticks = ticks(STATUSES_EVERY);
            loop {
                ticks.tick().await;
                if let Err(error) = statuses.report_statuses().await {
                    error.log();
                }
            }
        });
    }
    let deliveries = farm.clone();
    duties.spawn(async move {
        let mut ticks = ticks(DELIVERIES_EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = deliveries.delete_old_deliveries().await {
                error.log();
            }
        }
    });
    let signals = farm.clone();
    duties.spawn(async move { signals.relay_signals().await });
    duties
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    // After a pause of the host one look is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
