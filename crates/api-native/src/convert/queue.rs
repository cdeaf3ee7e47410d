//! Pending jobs, and why they are pending.

use chrono::SecondsFormat;
use slipway_domain::queue::PendingReason;
use slipway_farm as farm;

use crate::wire;

impl From<farm::QueueLine> for wire::QueueLine {
    fn from(line: farm::QueueLine) -> Self {
        Self {
            project: line.project,
            tags: line.tags.into(),
            count: line.count,
            oldest: line.oldest,
            reason: line.reason.into(),
        }
    }
}

impl From<PendingReason> for wire::PendingReason {
    fn from(reason: PendingReason) -> Self {
        let (code, message) = match reason {
            PendingReason::BuildsDisabled => (
                "builds_disabled",
                "builds are disabled in the project".to_owned(),
            ),
            PendingReason::NoRunnerForProject => (
                "no_runner_for_project",
                "no runner serves this project".to_owned(),
            ),
            PendingReason::NoRunnerHasTags(missing) => (
                "no_runner_has_tags",
                format!(
                    "no runner of this project has all tags of the job; the closest one lacks {}",
                    missing.join(", ")
                ),
            ),
            PendingReason::NoRunnerHasFeatures(missing) => (
                "no_runner_can",
                format!(
                    "no runner with the tags of the job supports {}",
                    missing.join(", ")
                ),
            ),
            PendingReason::NoRunnerTakesUntagged => (
                "no_runner_takes_untagged",
                "the job has no tags, and no runner of this project claims jobs without tags"
                    .to_owned(),
            ),
            PendingReason::AllPaused => (
                "all_paused",
                "every runner that could claim the job is paused".to_owned(),
            ),
            PendingReason::AllOffline => (
                "all_offline",
                "no runner that could claim the job has contacted the farm in the last two minutes"
                    .to_owned(),
            ),
            PendingReason::NoneReady { runner, why } => (
                "none_ready",
                format!(
                    "every runner that could claim the job has stopped claiming; runner {runner} \
                     reports: {why}"
                ),
            ),
            PendingReason::ProjectAtLimit(limit) => (
                "project_at_limit",
                format!("the project already runs {limit} jobs, which is its limit"),
            ),
            PendingReason::Reserved { runner, until } => (
                // The code is older than the word "reserved", and clients know it.
                "kept_for_runner",
                format!(
                    "the job is reserved until {} for runner {runner}, which built this project \
                     recently and is busy",
                    until.to_rfc3339_opts(SecondsFormat::Millis, true)
                ),
            ),
            PendingReason::AllBusy => (
                "all_busy",
                "every runner that could claim the job is busy".to_owned(),
            ),
        };
        Self { code, message }
    }
}

impl From<farm::StartBlocker> for wire::JobPendingReason {
    fn from(blocker: farm::StartBlocker) -> Self {
        let reason = match blocker {
            farm::StartBlocker::Started => None,
            farm::StartBlocker::Needs(names) => Some(wire::PendingReason {
                code: "needs_jobs",
                message: format!(
                    "the job needs jobs that have not finished: {}",
                    names.join(", ")
                ),
            }),
            farm::StartBlocker::Manual => Some(wire::PendingReason {
                code: "manual",
                message: "the job is manual and must be started by a user".to_owned(),
            }),
            farm::StartBlocker::Pending(reason) => Some(reason.into()),
        };
        Self { reason }
    }
}

impl From<farm::FarmStatus> for wire::FarmStatus {
    fn from(status: farm::FarmStatus) -> Self {
        let disks = status.disks.into_iter().map(|disk| wire::DiskStatus {
            name: disk.name.to_owned(),
            free_bytes: disk.free_bytes,
            full: disk.is_full,
        });
        Self {
            accepts_data: status.disk_full.is_none(),
            reason: status.disk_full,
            disks: disks.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use slipway_domain::RunnerId;

    #[test]
    fn every_pending_reason_has_its_own_code_and_a_message() {
        let reasons = [
            PendingReason::NoRunnerForProject,
            PendingReason::NoRunnerHasTags(vec!["arm64".to_owned()]),
            PendingReason::NoRunnerTakesUntagged,
            PendingReason::NoRunnerHasFeatures(vec!["packages".to_owned()]),
            PendingReason::AllPaused,
            PendingReason::AllOffline,
            PendingReason::NoneReady {
                runner: RunnerId(3),
                why: "no engine".to_owned(),
            },
            PendingReason::ProjectAtLimit(2),
            PendingReason::Reserved {
                runner: RunnerId(7),
                until: DateTime::UNIX_EPOCH,
            },
            PendingReason::AllBusy,
        ];
        let reasons: Vec<wire::PendingReason> = reasons.map(Into::into).into();
        let codes: std::collections::BTreeSet<_> = reasons.iter().map(|one| one.code).collect();
        assert_eq!(codes.len(), reasons.len());
        assert!(reasons[1].message.ends_with("arm64"));
        let reserved = "until 1970-01-01T00:00:00.000Z for runner 7,";
        assert!(
            reasons[8].message.contains(reserved),
            "{}",
            reasons[8].message
        );
        let needs = farm::StartBlocker::Needs(vec!["test".to_owned()]);
        let needs = wire::JobPendingReason::from(needs).reason;
        assert_eq!(needs.map(|one| one.code), Some("needs_jobs"));
    }
}
