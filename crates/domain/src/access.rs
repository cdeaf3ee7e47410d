//! Who may do what: roles of people, scopes of tokens.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::names::Invalid;
use crate::words::words;

words!(
    /// What a member may do in a namespace or a project. Each role includes the ones before it.
    Role, "role", "guest, reader, developer, maintainer or owner" {
        /// Sees the project, and its builds if those are public.
        Guest = "guest",
        /// Sees builds, traces and artifacts.
        Reader = "reader",
        /// Starts, cancels and retries builds.
        Developer = "developer",
        /// Changes the project: settings, pipelines, variables, credentials, runners.
        Maintainer = "maintainer",
        /// Decides who else is a member, and may delete.
        Owner = "owner",
    }
);

words!(
    /// Who sees a project without being a member of it.
    Visibility, "visibility", "private, internal or public" {
        /// Nobody.
        Private = "private",
        /// Every user.
        Internal = "internal",
        /// Everybody.
        Public = "public",
    }
);

words!(
    /// What a personal access token may be used for. Each scope includes the ones before it.
    Scope, "scope", "read, write or admin" {
        /// Looking.
        Read = "read",
        /// Starting, canceling and retrying builds.
        Write = "write",
        /// All that its user may do.
        Admin = "admin",
    }
);

impl Scope {
    /// The highest role that a token of this scope lets its user act in.
    pub fn ceiling(self) -> Role {
        match self {
            Scope::Read => Role::Reader,
            Scope::Write => Role::Developer,
            Scope::Admin => Role::Owner,
        }
    }
}

/// The scopes of one token; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeSet(BTreeSet<Scope>);

impl ScopeSet {
    /// Collects scopes.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, Invalid> {
        let set: BTreeSet<Scope> = scopes.into_iter().collect();
        if set.is_empty() {
            return Err(Invalid::new(
                "scopes",
                "",
                "at least one of read, write, admin",
            ));
        }
        Ok(Self(set))
    }

    /// The widest scope of the set, which is what the token can do.
    pub fn widest(&self) -> Scope {
        self.0.last().copied().unwrap_or(Scope::Read)
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }

    /// The scopes in order, separated by commas: the stored form.
    pub fn to_list(&self) -> String {
        let words: Vec<&str> = self.iter().map(Scope::as_str).collect();
        words.join(",")
    }
}

impl FromStr for ScopeSet {
    type Err = Invalid;

    fn from_str(list: &str) -> Result<Self, Invalid> {
        let scopes: Result<Vec<Scope>, Invalid> = list
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(str::parse)
            .collect();
        Self::new(scopes?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_and_the_widest_decides() {
        let scopes: ScopeSet = "write, read".parse().unwrap();
        assert_eq!(scopes.to_list(), "read,write");
        assert_eq!(scopes.widest().ceiling(), Role::Developer);
        assert!("".parse::<ScopeSet>().is_err());
        assert!("read,root".parse::<ScopeSet>().is_err());
    }
}
