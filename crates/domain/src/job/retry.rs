//! When a job that failed is tried again by itself, besides when the farm was to blame.

use serde::{Deserialize, Serialize};

use crate::job::state::FailureReason;

/// How often a job may be tried again, and after which ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryRules {
    /// How often at the most, 1 to 10.
    pub max: u8,
    /// After which failures; after any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
}

impl RetryRules {
    /// Whether they can be kept to.
    pub fn are_sound(&self) -> bool {
        (1..=10).contains(&self.max)
            && self
                .on
                .iter()
                .all(|word| word.parse::<FailureReason>().is_ok())
    }

    /// Whether a job that failed for `reason` as its attempt number `attempt`, from 1, is tried
    /// again.
    pub fn again(&self, attempt: i32, reason: FailureReason) -> bool {
        attempt <= i32::from(self.max)
            && (self.on.is_empty() || self.on.iter().any(|word| word == reason.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_tried_again_as_often_as_its_rules_say() {
        let any = RetryRules {
            max: 2,
            on: Vec::new(),
        };
        let again = |attempt| any.again(attempt, FailureReason::JobFailed);
        assert_eq!([1, 2, 3].map(again), [true, true, false]);
        let some = RetryRules {
            max: 1,
            on: vec!["push_refused".to_owned()],
        };
        assert!(some.again(1, FailureReason::PushRefused));
        assert!(!some.again(1, FailureReason::JobFailed));
    }
}
