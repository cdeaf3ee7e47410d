//! Which scope allows which action: the one table that limits what a token may be used for.

use crate::access::{Role, Scope, ScopeSet};

/// Something that a token may be used for. What its user may do limits it further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Reading the user's own profile, and uploading files that nobody sees yet.
    UseAccount,
    /// Seeing the user's namespaces and their members.
    ReadNamespaces,
    /// Managing robots and logins of registries of a namespace, and naming robots in builds.
    ManageRegistryAccounts,
    /// Reading projects, builds, traces and artifacts.
    ReadProjects,
    /// Creating, canceling and retrying builds.
    RunBuilds,
    /// Changing projects and namespaces, and creating them.
    ManageProjects,
    /// Adding and removing members, and changing their roles.
    ManageMembers,
    /// Creating and revoking tokens, and changing the password of the user.
    ManageCredentials,
    /// What administrators may do.
    Administer,
}

/// Each action with the scopes that allow it.
const TABLE: [(Action, &[Scope]); 9] = {
    use Action::{
        Administer, ManageCredentials, ManageMembers, ManageProjects, ManageRegistryAccounts,
        ReadNamespaces, ReadProjects, RunBuilds, UseAccount,
    };
    use Scope::{Admin, Identity, Namespaces, Read, Write};
    [
        (UseAccount, &[Identity, Namespaces, Read, Write, Admin]),
        (ReadNamespaces, &[Namespaces, Read, Write, Admin]),
        (ManageRegistryAccounts, &[Namespaces, Admin]),
        (ReadProjects, &[Read, Write, Admin]),
        (RunBuilds, &[Write, Admin]),
        (ManageProjects, &[Admin]),
        (ManageMembers, &[Admin]),
        (ManageCredentials, &[Admin]),
        (Administer, &[Admin]),
    ]
};

impl Action {
    /// The scopes that allow it.
    pub fn allowed_by(self) -> &'static [Scope] {
        let row = TABLE.iter().find(|(action, _)| *action == self);
        row.map_or(&[], |(_, scopes)| *scopes)
    }
}

impl Scope {
    /// Returns true if a token with this scope may be used for `action`.
    pub fn allows(self, action: Action) -> bool {
        action.allowed_by().contains(&self)
    }

    /// The highest role in which a token of this scope acts on projects; `None` if it gives no
    /// access to projects.
    pub fn ceiling(self) -> Option<Role> {
        let ceilings = [
            (Action::ManageMembers, Role::Owner),
            (Action::ManageProjects, Role::Maintainer),
            (Action::RunBuilds, Role::Developer),
            (Action::ReadProjects, Role::Reader),
        ];
        let found = ceilings
            .into_iter()
            .find(|(action, _)| self.allows(*action));
        found.map(|(_, role)| role)
    }
}

impl ScopeSet {
    /// Returns true if a token with these scopes may be used for `action`.
    pub fn allows(&self, action: Action) -> bool {
        self.iter().any(|scope| scope.allows(action))
    }

    /// The highest role in which a token with these scopes acts on namespaces; `None` if it cannot
    /// see them. The registry accounts of a namespace are an action of their own.
    pub fn namespace_ceiling(&self) -> Option<Role> {
        let seen = self.allows(Action::ReadNamespaces).then_some(Role::Reader);
        self.widest().ceiling().max(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_allows_exactly_the_actions_of_the_table() {
        // Identity, namespaces, read, write, admin.
        let expected = [
            (Action::UseAccount, [1, 1, 1, 1, 1]),
            (Action::ReadNamespaces, [0, 1, 1, 1, 1]),
            (Action::ManageRegistryAccounts, [0, 1, 0, 0, 1]),
            (Action::ReadProjects, [0, 0, 1, 1, 1]),
            (Action::RunBuilds, [0, 0, 0, 1, 1]),
            (Action::ManageProjects, [0, 0, 0, 0, 1]),
            (Action::ManageMembers, [0, 0, 0, 0, 1]),
            (Action::ManageCredentials, [0, 0, 0, 0, 1]),
            (Action::Administer, [0, 0, 0, 0, 1]),
        ];
        assert_eq!(expected.len(), TABLE.len());
        for (action, row) in expected {
            assert_eq!(row.len(), Scope::ALL.len());
            for (scope, allowed) in Scope::ALL.iter().zip(row) {
                assert_eq!(scope.allows(action), allowed == 1, "{action:?} {scope}");
                let alone = ScopeSet::new([*scope]).unwrap();
                assert_eq!(alone.allows(action), allowed == 1, "{action:?} {scope}");
            }
        }
    }

    #[test]
    fn scopes_limit_the_role_in_projects_and_namespaces() {
        let expected = [
            (None, None),
            (None, Some(Role::Reader)),
            (Some(Role::Reader), Some(Role::Reader)),
            (Some(Role::Developer), Some(Role::Developer)),
            (Some(Role::Owner), Some(Role::Owner)),
        ];
        for (scope, (in_project, in_namespace)) in Scope::ALL.iter().zip(expected) {
            assert_eq!(scope.ceiling(), in_project, "{scope}");
            let alone = ScopeSet::new([*scope]).unwrap();
            assert_eq!(alone.namespace_ceiling(), in_namespace, "{scope}");
        }
        let both = ScopeSet::new([Scope::Namespaces, Scope::Write]).unwrap();
        assert_eq!(both.namespace_ceiling(), Some(Role::Developer));
    }
}
