//! Users, members and tokens.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::{Name, Role, Scope};
use utoipa::ToSchema;

use super::parse::parse_text;
use super::schemas;

/// A user of the farm.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    pub(crate) id: i64,
    #[schema(value_type = schemas::NameText)]
    pub(crate) name: String,
    /// Whether the user is an administrator, who may do everything.
    pub(crate) admin: bool,
    /// Whether the user's tokens work. They do not while the user is blocked.
    pub(crate) active: bool,
    pub(crate) created_at: DateTime<Utc>,
}

/// The calling user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurrentUser {
    #[serde(flatten)]
    pub(crate) user: User,
    /// The scopes of the token that was sent.
    #[schema(value_type = Vec<schemas::Scope>)]
    pub(crate) scopes: Vec<String>,
    /// Whether the user has a password, which is then needed to change it.
    pub(crate) has_password: bool,
}

/// A new password for the calling user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// The current password. Absent if the user has none.
    pub(crate) old: Option<String>,
    /// The new password, at least 12 characters long.
    #[schema(value_type = schemas::PasswordText)]
    pub(crate) new: String,
}

/// A new password for another user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordOfUser {
    /// The new password, at least 12 characters long.
    #[schema(value_type = schemas::PasswordText)]
    pub(crate) new: String,
}

/// The user to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    #[schema(value_type = schemas::NameText)]
    pub(crate) name: Name,
    /// Whether the user is an administrator, who may do everything.
    #[serde(default)]
    pub(crate) admin: bool,
}

/// Changes to a user. Absent fields stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    /// Whether the user's tokens work. They do not while the user is blocked.
    pub(crate) active: Option<bool>,
    /// Whether the user is an administrator, who may do everything.
    pub(crate) admin: Option<bool>,
}

/// A user's role in a namespace or a project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Member {
    #[schema(value_type = schemas::NameText)]
    pub(crate) user: String,
    /// `guest`, `reader`, `developer`, `maintainer` or `owner`.
    #[schema(value_type = schemas::Role)]
    pub(crate) role: &'static str,
}

/// The role to give.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRole {
    /// `guest`, `reader`, `developer`, `maintainer` or `owner`.
    #[serde(deserialize_with = "parse_text")]
    #[schema(value_type = schemas::Role)]
    pub(crate) role: Role,
}

/// A personal access token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Token {
    pub(crate) id: i64,
    pub(crate) name: String,
    /// `read`, `write` or `admin`, each of which includes the ones before it; `identity` or
    /// `namespaces`.
    #[schema(value_type = Vec<schemas::Scope>)]
    pub(crate) scopes: Vec<String>,
    pub(crate) created_at: DateTime<Utc>,
    /// When the token expires, or null if never.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// When the token was last used, to the minute.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

/// A new token with its secret, which no other response contains.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedToken {
    #[serde(flatten)]
    pub(crate) about: Token,
    pub(crate) token: String,
}

/// The personal access token to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    #[schema(value_type = schemas::TokenNameText)]
    pub(crate) name: String,
    /// At least one scope.
    #[schema(value_type = Vec<schemas::Scope>, min_items = 1)]
    pub(crate) scopes: Vec<ScopeWord>,
    /// When the token expires. If absent, it never does.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// How a token is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRotation {
    /// For how many seconds the old token stays valid; at most 30 days.
    #[serde(default = "default_overlap_s")]
    #[schema(default = 3600, maximum = 2592000)]
    pub(crate) overlap_s: u32,
    /// When the new token expires. If absent, it lasts as long as the old one was meant to.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

fn default_overlap_s() -> u32 {
    3600
}

/// A scope by its name.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct ScopeWord(#[serde(deserialize_with = "parse_text")] pub(crate) Scope);

/// A registration token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegistrationToken {
    pub(crate) id: i64,
    pub(crate) description: String,
    /// The id of the project that its runners serve, or null for shared runners.
    pub(crate) project_id: Option<i64>,
    /// Whether the token registers only one runner.
    pub(crate) single_use: bool,
    pub(crate) created_at: DateTime<Utc>,
    /// When the token expires, or null if never.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) used_at: Option<DateTime<Utc>>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
}

/// A new registration token with its secret, which no other response contains.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedRegistrationToken {
    #[serde(flatten)]
    pub(crate) about: RegistrationToken,
    pub(crate) token: String,
}

/// The runners token of a project, with its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct RunnersToken {
    pub(crate) token: String,
}

/// The registration token to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRegistrationToken {
    #[schema(value_type = schemas::TokenNameText)]
    pub(crate) description: String,
    /// Whether the token registers only one runner, which is safer.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(crate) single_use: bool,
    /// When the token expires. If absent, it never does.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

fn yes() -> bool {
    true
}
