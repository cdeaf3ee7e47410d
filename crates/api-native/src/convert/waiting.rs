//! What waits, and why.

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
                "builds are switched off in the project".to_owned(),
            ),
            PendingReason::NoRunnerForProject => (
                "no_runner_for_project",
                "no runner works for this project".to_owned(),
            ),
            PendingReason::NoRunnerHasTags(missing) => (
                "no_runner_has_tags",
                format!(
                    "no runner of this project has all the tags; the closest lacks {}",
                    missing.join(", ")
                ),
            ),
            PendingReason::NoRunnerHasFeatures(missing) => (
                "no_runner_can",
                format!("no runner with the job's tags does {}", missing.join(", ")),
            ),
            PendingReason::NoRunnerTakesUntagged => (
                "no_runner_takes_untagged",
                "the job has no tags, and every runner of this project insists on some".to_owned(),
            ),
            PendingReason::AllPaused => (
                "all_paused",
                "every runner that could take it is paused".to_owned(),
            ),
            PendingReason::AllOffline => (
                "all_offline",
                "no runner that could take it was heard of in the last two minutes".to_owned(),
            ),
            PendingReason::ProjectAtLimit(limit) => (
                "project_at_limit",
                format!("the project runs {limit} jobs, as many as it may"),
            ),
            PendingReason::Reserved { runner, until } => (
                "kept_for_runner",
                format!(
                    "it is kept until {} for runner {runner}, which built this project lately and \
                     is busy",
                    until.to_rfc3339_opts(SecondsFormat::Millis, true)
                ),
            ),
            PendingReason::AllBusy => (
                "all_busy",
                "the runners that could take it have other work".to_owned(),
            ),
        };
        Self { code, message }
    }
}

impl From<farm::StartBlocker> for wire::JobPendingReason {
    fn from(why: farm::StartBlocker) -> Self {
        let reason = match why {
            farm::StartBlocker::Started => None,
            farm::StartBlocker::Needs(names) => Some(wire::PendingReason {
                code: "needs_jobs",
                message: format!("it needs jobs that are not over: {}", names.join(", ")),
            }),
            farm::StartBlocker::Manual => Some(wire::PendingReason {
                code: "manual",
                message: "somebody has to start it".to_owned(),
            }),
            farm::StartBlocker::Pending(reason) => Some(reason.into()),
        };
        Self { reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use slipway_domain::RunnerId;

    #[test]
    fn every_reason_has_a_code_of_its_own_and_a_sentence() {
        let reasons = [
            PendingReason::NoRunnerForProject,
            PendingReason::NoRunnerHasTags(vec!["arm64".to_owned()]),
            PendingReason::NoRunnerTakesUntagged,
            PendingReason::NoRunnerHasFeatures(vec!["packages".to_owned()]),
            PendingReason::AllPaused,
            PendingReason::AllOffline,
            PendingReason::ProjectAtLimit(2),
            PendingReason::Reserved {
                runner: RunnerId(7),
                until: DateTime::UNIX_EPOCH,
            },
            PendingReason::AllBusy,
        ];
        let shown: Vec<wire::PendingReason> = reasons.map(Into::into).into();
        let codes: std::collections::BTreeSet<_> = shown.iter().map(|one| one.code).collect();
        assert_eq!(codes.len(), shown.len());
        assert!(shown[1].message.ends_with("arm64"));
        let kept = "until 1970-01-01T00:00:00.000Z for runner 7,";
        assert!(shown[7].message.contains(kept), "{}", shown[7].message);
        let needs = farm::StartBlocker::Needs(vec!["test".to_owned()]);
        let needs = wire::JobPendingReason::from(needs).reason;
        assert_eq!(needs.map(|one| one.code), Some("needs_jobs"));
    }
}
