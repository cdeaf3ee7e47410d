//! Who may do what: roles of people, scopes of tokens.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::names::Invalid;
use crate::text_enum::text_enum;

text_enum!(
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

text_enum!(
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

text_enum!(
    /// What a personal access token may be used for. Each scope includes the ones before it, but
    /// for [`Scope::Namespaces`], which stands aside: only [`Scope::Admin`] includes it.
    Scope, "scope", "identity, namespaces, read, write or admin" {
        /// Saying who one is. No project is seen with it.
        Identity = "identity",
        /// Administering the namespaces that one owns. It gives nothing in their projects.
        Namespaces = "namespaces",
        /// Looking.
        Read = "read",
        /// Starting, canceling and retrying builds.
        Write = "write",
        /// All that its user may do.
        Admin = "admin",
    }
);

impl Scope {
    /// The highest role that a token of this scope lets its user act in where projects are; none
    /// when they are not seen at all.
    pub fn ceiling(self) -> Option<Role> {
        match self {
            Scope::Identity | Scope::Namespaces => None,
            Scope::Read => Some(Role::Reader),
            Scope::Write => Some(Role::Developer),
            Scope::Admin => Some(Role::Owner),
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
                "at least one of identity, namespaces, read, write, admin",
            ));
        }
        Ok(Self(set))
    }

    /// The widest scope of the set, which is what the token can do where projects are.
    pub fn widest(&self) -> Scope {
        let mut widest_first = self.0.iter().rev().copied();
        let found = widest_first.find(|scope| *scope != Scope::Namespaces);
        found.unwrap_or(Scope::Identity)
    }

    /// Whether a token of these scopes may do what asks for `need`.
    pub fn includes(&self, need: Scope) -> bool {
        match need {
            Scope::Namespaces => self.0.contains(&need) || self.0.contains(&Scope::Admin),
            _ => self.widest() >= need,
        }
    }

    /// Whether a token of these scopes may do all that one of `other` may.
    pub fn covers(&self, other: &ScopeSet) -> bool {
        other.iter().all(|scope| self.includes(scope))
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
        assert_eq!(scopes.widest().ceiling(), Some(Role::Developer));
        assert!("".parse::<ScopeSet>().is_err());
        assert!("read,root".parse::<ScopeSet>().is_err());
    }

    #[test]
    fn administering_namespaces_stands_aside_from_the_other_scopes() {
        let set = |list: &str| list.parse::<ScopeSet>().unwrap();
        assert_eq!(set("namespaces").widest(), Scope::Identity);
        assert_eq!(set("namespaces,write").widest(), Scope::Write);
        assert!(set("namespaces,write").includes(Scope::Namespaces));
        assert!(!set("write").includes(Scope::Namespaces));
        assert!(set("admin").includes(Scope::Namespaces));
        assert!(!set("namespaces").includes(Scope::Read));
        assert!(set("admin").covers(&set("namespaces,read")));
        assert!(!set("write").covers(&set("namespaces")));
        assert_eq!(Scope::Identity.ceiling(), None);
    }
}
