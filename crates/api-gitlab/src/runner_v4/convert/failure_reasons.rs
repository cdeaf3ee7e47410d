//! Why jobs fail, in this protocol's words.

use slipway_domain::FailureReason;

/// The reasons that runners are told they may give, and what the farm makes of each.
pub(crate) const REASONS: [(&str, FailureReason); 9] = [
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

/// What the farm makes of a word; without one, of a failure as such.
pub(crate) fn reason(word: Option<&str>) -> FailureReason {
    let Some(word) = word.filter(|word| !word.is_empty()) else {
        return FailureReason::JobFailed;
    };
    let known = REASONS.iter().find(|(known, _)| *known == word);
    known.map_or(FailureReason::Unknown, |(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_whatever_they_are() {
        assert_eq!(reason(None), FailureReason::JobFailed);
        assert_eq!(reason(Some("script_failure")), FailureReason::JobFailed);
        assert_eq!(
            reason(Some("runner_system_failure")),
            FailureReason::RunnerFault
        );
        // Our own words are not this protocol's.
        for word in ["build_failed", "unknown_failure", "x"] {
            assert_eq!(reason(Some(word)), FailureReason::Unknown, "{word}");
        }
    }
}
