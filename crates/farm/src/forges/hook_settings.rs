//! The secrets that push hooks are signed with, and what the operator decided about hooks.

use std::fmt;

use crate::error::FarmError;

/// The fewest and the most bytes of a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;

/// What push hooks are signed with.
#[derive(Clone)]
pub struct HookSecret(String);

impl HookSecret {
    /// Takes a secret.
    ///
    /// # Errors
    /// `Invalid` when it is too short to be one, too long, or has characters that no header
    /// carries.
    pub fn new(text: &str) -> Result<Self, FarmError> {
        let fits = SECRET_BYTES.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits {
            return Ok(Self(text.to_owned()));
        }
        let why = "a webhook secret has 16 to 1024 printable ASCII characters and no blanks";
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

/// What the operator decided about push hooks.
#[derive(Clone, Debug, Default)]
pub struct HookSettings {
    /// For hooks of GitHub, of projects without a secret of their own.
    pub github: Option<HookSecret>,
    /// For hooks of GitLab, of projects without a secret of their own.
    pub gitlab: Option<HookSecret>,
    /// For hooks of Gitea and Forgejo, of projects without a secret of their own.
    pub gitea: Option<HookSecret>,
    /// Whether a signature with SHA-1 alone is taken.
    pub accept_sha1: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_and_is_not_shown() {
        assert!(HookSecret::new("short").is_err());
        assert!(HookSecret::new("has a blank in its midst").is_err());
        let secret = HookSecret::new("0123456789abcdef").unwrap();
        assert!(!format!("{secret:?}").contains("0123"));
    }
}
