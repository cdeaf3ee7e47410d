//! Users, members and tokens.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::{Name, Role, Scope};
use utoipa::ToSchema;

use crate::parsed::parsed;

/// Somebody who may call the farm.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    /// Its id.
    pub(crate) id: i64,
    /// Its name.
    pub(crate) name: String,
    /// Whether it may do everything.
    pub(crate) admin: bool,
    /// Whether its tokens work.
    pub(crate) active: bool,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
}

/// The user who is calling.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurrentUser {
    /// The user.
    #[serde(flatten)]
    pub(crate) user: User,
    /// The scopes of the token that was used.
    pub(crate) scopes: Vec<String>,
    /// Whether it has a password, which a change of it asks for.
    pub(crate) has_password: bool,
}

/// A password to take. It cannot be printed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// The password that the caller has; absent when it has none.
    pub(crate) old: Option<String>,
    /// The new one: at least 12 characters.
    pub(crate) new: String,
}

/// A password to give to a user. It cannot be printed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordOfUser {
    /// The new one: at least 12 characters.
    pub(crate) new: String,
}

/// A user to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// Its name.
    #[schema(value_type = String)]
    pub(crate) name: Name,
    /// Whether it may do everything.
    #[serde(default)]
    pub(crate) admin: bool,
}

/// What to change about a user; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    /// Whether its tokens work.
    pub(crate) active: Option<bool>,
    /// Whether it may do everything.
    pub(crate) admin: Option<bool>,
}

/// A user's role in a namespace or a project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Member {
    /// The user's name.
    pub(crate) user: String,
    /// `reader`, `developer`, `maintainer` or `owner`.
    pub(crate) role: &'static str,
}

/// The role to give to a user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRole {
    /// `reader`, `developer`, `maintainer` or `owner`.
    #[serde(deserialize_with = "parsed")]
    #[schema(value_type = String)]
    pub(crate) role: Role,
}

/// A personal access token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Token {
    /// Its id.
    pub(crate) id: i64,
    /// What its user calls it.
    pub(crate) name: String,
    /// `read`, `write`, `admin`; each includes the ones before it.
    pub(crate) scopes: Vec<String>,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
    /// When it stops working; never when null.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// When it was last used, give or take a minute.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

/// A token that was just made, with its secret, which is told this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedToken {
    /// The token.
    #[serde(flatten)]
    pub(crate) about: Token,
    /// The secret itself.
    pub(crate) token: String,
}

/// A personal access token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// What its user calls it.
    pub(crate) name: String,
    /// `read`, `write`, `admin`; at least one.
    #[schema(value_type = Vec<String>)]
    pub(crate) scopes: Vec<ScopeWord>,
    /// When it stops working; never when absent.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// One scope by its word.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct ScopeWord(#[serde(deserialize_with = "parsed")] pub(crate) Scope);

/// A registration token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegistrationToken {
    /// Its id.
    pub(crate) id: i64,
    /// Free text.
    pub(crate) description: String,
    /// The id of the one project its runners serve; they are shared when null.
    pub(crate) project_id: Option<i64>,
    /// Whether it registers one runner and no more.
    pub(crate) single_use: bool,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
    /// When it stops working; never when null.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// When it was last used.
    pub(crate) used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub(crate) revoked_at: Option<DateTime<Utc>>,
}

/// A registration token that was just made, with its secret, which is told this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedRegistrationToken {
    /// The token.
    #[serde(flatten)]
    pub(crate) about: RegistrationToken,
    /// The secret itself.
    pub(crate) token: String,
}

/// A registration token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRegistrationToken {
    /// Free text.
    pub(crate) description: String,
    /// Whether it registers one runner and no more, as it should where it can.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(crate) single_use: bool,
    /// When it stops working; never when absent.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

fn yes() -> bool {
    true
}
