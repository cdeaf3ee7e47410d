//! What ends when somebody stops maintaining a project: the tokens that they could read or have
//! created, and that would still work without them.

use chrono::{DateTime, Utc};
use slipway_domain::{Role, UserId};
use slipway_store::people::{self, User};
use slipway_store::projects::{self, Reach};
use slipway_store::{Conn, StoreError, registration};

/// Whether somebody maintained a project or namespace before a change, and does not after it.
pub(crate) fn stops_maintaining(before: Option<Role>, after: Option<Role>) -> bool {
    before >= Some(Role::Maintainer) && after < Some(Role::Maintainer)
}

/// Resets the runners tokens that `user` could read in its role, and revokes the registration tokens
/// that it created. Runners that registered with them stay.
pub(crate) fn end_runner_tokens(
    conn: &mut Conn,
    user: UserId,
    reach: Reach,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    projects::reset_runners_nonces(conn, reach)?;
    registration::revoke_created_by(conn, user, reach, now)
}

/// [`end_runner_tokens`], everywhere that `user` is a maintainer.
pub(crate) fn end_all_runner_tokens(
    conn: &mut Conn,
    user: &User,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // Administrators are owners everywhere.
    if user.admin {
        return end_runner_tokens(conn, user.id, Reach::Farm, now);
    }
    let held = people::memberships(conn, user.id)?;
    let projects = held.projects.into_iter();
    let projects = projects.map(|(id, role)| (Reach::Project(id), role));
    let namespaces = held.namespaces.into_iter();
    let namespaces = namespaces.map(|(id, role)| (Reach::Namespace(id), role));
    for (reach, role) in projects.chain(namespaces) {
        if role >= Role::Maintainer {
            projects::reset_runners_nonces(conn, reach)?;
        }
    }
    // Also those of projects that the user left before the farm revoked them.
    registration::revoke_created_by(conn, user.id, Reach::Farm, now)
}
