//! What the objects of the consumer API look like, where more than one resource shows them.

pub(crate) mod builds;
pub(crate) mod projects;

use serde::Serialize;
use slipway_domain::queue::RunnerScope;
use slipway_farm as farm;

use super::auth::Call;
use crate::convert::timestamp;

/// A user.
#[derive(Serialize)]
pub(crate) struct User {
    name: String,
    username: String,
    id: i64,
    state: &'static str,
    avatar_url: Option<String>,
    web_url: String,
    created_at: String,
    is_admin: bool,
    bio: Option<String>,
    location: Option<String>,
    skype: &'static str,
    linkedin: &'static str,
    twitter: &'static str,
    website_url: &'static str,
    organization: Option<String>,
}

/// A user as others see it. What the farm does not know of people is empty.
pub(crate) fn user(call: &Call, user: &farm::User) -> User {
    user_at(&call.base(), user)
}

/// [`user`], for a farm that is found at `base`.
pub(crate) fn user_at(base: &str, user: &farm::User) -> User {
    User {
        name: user.name.to_string(),
        username: user.name.to_string(),
        id: user.id.0,
        state: if user.active { "active" } else { "blocked" },
        avatar_url: None,
        web_url: format!("{base}/api/v3/users/{}", user.id),
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

/// A runner in a list, or as part of a build.
#[derive(Serialize)]
pub(crate) struct Runner {
    id: i64,
    description: String,
    active: bool,
    is_shared: bool,
    name: Option<String>,
}

impl From<&farm::Runner> for Runner {
    fn from(runner: &farm::Runner) -> Self {
        Self {
            id: runner.id.0,
            description: runner.description.clone(),
            active: !runner.paused,
            is_shared: runner.capabilities.scope == RunnerScope::Shared,
            name: runner.about.name.clone(),
        }
    }
}
