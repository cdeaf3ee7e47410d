//! Users.

use slipway_farm as farm;

use crate::builds_v3::wire::{CurrentUser, User};
use crate::convert::timestamp;

/// GitLab's default for users without a limit of projects.
const PROJECTS_LIMIT: u32 = 100_000;

/// A user, as others see it, for a farm at `base_url`.
pub(crate) fn user(base_url: &str, user: &farm::User) -> User {
    User {
        name: user.name.to_string(),
        username: user.name.to_string(),
        id: user.id.0,
        state: if user.active { "active" } else { "blocked" },
        avatar_url: None,
        web_url: format!("{base_url}/api/v3/users/{}", user.id),
        created_at: timestamp(user.created_at),
        is_admin: user.admin,
        bio: None,
        location: None,
        skype: "",
        linkedin: "",
        twitter: "",
        website_url: "",
        organization: None,
    }
}

/// The user who calls. `may_create` tells whether the token's scope allows creating namespaces and
/// projects.
pub(crate) fn current_user(base_url: &str, user: &farm::User, may_create: bool) -> CurrentUser {
    CurrentUser {
        user: self::user(base_url, user),
        email: None,
        theme_id: None,
        color_scheme_id: None,
        projects_limit: PROJECTS_LIMIT,
        current_sign_in_at: None,
        last_sign_in_at: None,
        confirmed_at: timestamp(user.created_at),
        identities: [],
        can_create_group: may_create,
        can_create_project: may_create,
        two_factor_enabled: false,
        external: false,
    }
}
