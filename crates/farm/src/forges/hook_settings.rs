//! Secrets of push webhooks, and the settings for webhooks.

use std::fmt;

use crate::error::FarmError;

/// The fewest and the most bytes of a secret.
pub(crate) const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;

/// A secret that push webhooks are signed with.
#[derive(Clone)]
pub struct HookSecret(String);

impl HookSecret {
    /// Checks a secret.
    ///
    /// # Errors
    /// `Invalid` when it is too short or too long, or has characters that headers cannot carry.
    pub fn new(text: &str) -> Result<Self, FarmError> {
        let fits = SECRET_BYTES.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits {
            return Ok(Self(text.to_owned()));
        }
        let why = "a webhook secret must have 16 to 1024 printable ASCII characters and no spaces";
        Err(FarmError::Invalid(why.to_owned()))
    }

    /// A secret that was checked when it was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// The plain text, to check signatures with.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSecret(..)")
    }
}

/// Settings for push webhooks.
#[derive(Clone, Debug, Default)]
pub struct HookSettings {
    /// The secret for GitHub, for projects without their own.
    pub github: Option<HookSecret>,
    /// The secret for GitLab, for projects without their own.
    pub gitlab: Option<HookSecret>,
    /// The secret for Gitea and Forgejo, for projects without their own.
    pub gitea: Option<HookSecret>,
    /// Whether signatures with SHA-1 only are accepted.
    pub accept_sha1: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_secrets_are_refused_and_secrets_are_not_printed() {
        assert!(HookSecret::new("short").is_err());
        assert!(HookSecret::new("has a blank in its midst").is_err());
        let secret = HookSecret::new("0123456789abcdef").unwrap();
        assert!(!format!("{secret:?}").contains("0123"));
    }
}
