//! Failure reasons of the runner protocol v4.

use slipway_domain::FailureReason;

/// The reasons that runners may report, with the farm's reason for each. Runners replace any other
/// reason by one of these.
pub(crate) const FAILURE_REASONS: [(&str, FailureReason); 9] = [
    ("script_failure", FailureReason::JobFailed),
    ("runner_system_failure", FailureReason::RunnerFault),
    ("api_failure", FailureReason::RunnerFault),
    (
        "missing_dependency_failure",
        FailureReason::SourceUnavailable,
    ),
    ("runner_unsupported", FailureReason::Unsupported),
    ("job_execution_timeout", FailureReason::TimedOut),
    ("stuck_or_timeout_failure", FailureReason::TimedOut),
    ("image_pull_failure", FailureReason::BaseImageUnavailable),
    ("configuration_error", FailureReason::JobFailed),
];

/// The farm's reason for a reported one. A missing reason means that the job itself failed; a
/// reason that is not in [`FAILURE_REASONS`] is accepted as unknown.
pub(crate) fn failure_reason(name: Option<&str>) -> FailureReason {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return FailureReason::JobFailed;
    };
    let known = FAILURE_REASONS.iter().find(|(known, _)| *known == name);
    known.map_or(FailureReason::Unknown, |(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reported_reason_is_accepted() {
        assert_eq!(failure_reason(None), FailureReason::JobFailed);
        assert_eq!(
            failure_reason(Some("script_failure")),
            FailureReason::JobFailed
        );
        assert_eq!(
            failure_reason(Some("runner_system_failure")),
            FailureReason::RunnerFault
        );
        // The farm's own names are not part of this protocol.
        for name in ["build_failed", "unknown_failure", "x"] {
            assert_eq!(failure_reason(Some(name)), FailureReason::Unknown, "{name}");
        }
    }
}
