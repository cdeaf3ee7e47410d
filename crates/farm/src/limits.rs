//! The limits of texts, for dialects that describe them to their clients.

use std::ops::RangeInclusive;

pub use crate::access::passwords::{
    MAX_BYTES as PASSWORD_BYTES, MIN_CHARACTERS as PASSWORD_CHARACTERS,
};
pub use crate::access::tokens::MAX_NAME as TOKEN_NAME_BYTES;
pub use crate::projects::manage::MAX_DESCRIPTION as DESCRIPTION_BYTES;
pub use crate::projects::repo_url::{MAX_URL as REPO_URL_BYTES, URL_PATTERN as REPO_URL_PATTERN};
pub use crate::projects::secret_checks::MAX_VALUE as SECRET_BYTES;

/// The fewest and the most bytes of a webhook's secret.
pub const HOOK_SECRET_BYTES: RangeInclusive<usize> = crate::forges::hook_settings::SECRET_BYTES;
