//! Permissions: the roles of members, the scopes of access tokens, and what each scope allows.

mod actions;

use std::collections::BTreeSet;
use std::str::FromStr;

pub use actions::Action;

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
        /// Changes the project's settings, pipelines, variables, credentials and runners.
        Maintainer = "maintainer",
        /// Manages members, and may delete the project or namespace.
        Owner = "owner",
    }
);

text_enum!(
    /// Who can see a project without being a member of it.
    Visibility, "visibility", "private, internal or public" {
        /// Visible to members only.
        Private = "private",
        /// Visible to every logged-in user.
        Internal = "internal",
        /// Visible to everybody, without a login.
        Public = "public",
    }
);

text_enum!(
    /// What a personal access token may be used for. Each scope includes the ones before it, except
    /// that only [`Scope::Admin`] includes [`Scope::Namespaces`].
    Scope, "scope", "identity, namespaces, read, write or admin" {
        /// Reads the user's own profile. Gives no access to projects.
        Identity = "identity",
        /// Sees the user's namespaces, and manages the robots and registry logins of those that the
        /// user maintains. Gives no access to their projects and members.
        Namespaces = "namespaces",
        /// Reads projects, builds, traces and artifacts.
        Read = "read",
        /// Creates, cancels and retries builds.
        Write = "write",
        /// Does everything its user may do.
        Admin = "admin",
    }
);

/// The scopes of one token; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeSet(BTreeSet<Scope>);

impl ScopeSet {
    /// # Errors
    /// `Invalid` if there is no scope.
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

    /// The widest scope of the set, which decides what the token can do on projects.
    ///
    /// [`Scope::Namespaces`] does not count: it gives no access to projects.
    pub fn widest(&self) -> Scope {
        let mut widest_first = self.0.iter().rev().copied();
        let found = widest_first.find(|scope| *scope != Scope::Namespaces);
        found.unwrap_or(Scope::Identity)
    }

    /// Returns true if a token with these scopes may do what requires `need`.
    pub fn includes(&self, need: Scope) -> bool {
        match need {
            Scope::Namespaces => self.0.contains(&need) || self.0.contains(&Scope::Admin),
            _ => self.widest() >= need,
        }
    }

    /// Returns true if a token with these scopes may do everything that one with `other` may.
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
    fn scope_lists_round_trip_and_the_widest_scope_sets_the_role() {
        let scopes: ScopeSet = "write, read".parse().unwrap();
        assert_eq!(scopes.to_list(), "read,write");
        assert_eq!(scopes.widest().ceiling(), Some(Role::Developer));
        assert!("".parse::<ScopeSet>().is_err());
        assert!("read,root".parse::<ScopeSet>().is_err());
    }

    #[test]
    fn the_namespaces_scope_is_included_only_in_admin() {
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
