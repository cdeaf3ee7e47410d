//! Retry rules of a job: when a failed job is retried automatically.
//!
//! Failures that the farm caused are retried in addition, without any rule.

use serde::{Deserialize, Serialize};

use crate::job::state::FailureReason;

/// How often a job is retried automatically, and after which failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryRules {
    /// The maximum number of retries, 1 to 10.
    pub max: u8,
    /// The failure reasons to retry after; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
}

impl RetryRules {
    /// Returns true if `max` is in range and every reason is known.
    pub fn is_valid(&self) -> bool {
        (1..=10).contains(&self.max)
            && self
                .on
                .iter()
                .all(|word| word.parse::<FailureReason>().is_ok())
    }

    /// Returns true if a job is retried whose attempt number `attempt` (from 1) failed for `reason`.
    pub fn allows(&self, attempt: i32, reason: FailureReason) -> bool {
        attempt <= i32::from(self.max)
            && (self.on.is_empty() || self.on.iter().any(|word| word == reason.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_retried_up_to_the_maximum_and_for_listed_reasons() {
        let any = RetryRules {
            max: 2,
            on: Vec::new(),
        };
        let allows = |attempt| any.allows(attempt, FailureReason::JobFailed);
        assert_eq!([1, 2, 3].map(allows), [true, true, false]);
        let some = RetryRules {
            max: 1,
            on: vec!["push_refused".to_owned()],
        };
        assert!(some.allows(1, FailureReason::PushRefused));
        assert!(!some.allows(1, FailureReason::JobFailed));
    }
}
