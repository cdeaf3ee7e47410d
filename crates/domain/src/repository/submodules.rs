//! How submodules are checked out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::Invalid;

/// Which submodules of a repository are checked out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Submodules {
    None,
    /// The repository's own submodules, but not theirs.
    Normal,
    /// All submodules, recursively, as `docker build` does for a Git URL.
    #[default]
    Recursive,
}

impl Submodules {
    /// All values, in order.
    pub const ALL: &'static [Self] = &[Self::None, Self::Normal, Self::Recursive];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Normal => "normal",
            Self::Recursive => "recursive",
        }
    }
}

impl fmt::Display for Submodules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Submodules {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let all = [Self::None, Self::Normal, Self::Recursive];
        let found = all.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| Invalid::new("submodules", text, "none, normal or recursive"))
    }
}
