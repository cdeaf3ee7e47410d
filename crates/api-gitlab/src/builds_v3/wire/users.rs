//! Users and sessions.

use serde::Serialize;

/// A user, as others see it.
#[derive(Serialize)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) username: String,
    pub(crate) id: i64,
    pub(crate) state: &'static str,
    pub(crate) avatar_url: Option<String>,
    pub(crate) web_url: String,
    pub(crate) created_at: String,
    pub(crate) is_admin: bool,
    pub(crate) bio: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) skype: &'static str,
    pub(crate) linkedin: &'static str,
    pub(crate) twitter: &'static str,
    pub(crate) website_url: &'static str,
    pub(crate) organization: Option<String>,
}

/// The user who calls. The farm stores no email addresses and has no themes.
#[derive(Serialize)]
pub(crate) struct CurrentUser {
    #[serde(flatten)]
    pub(crate) user: User,
    pub(crate) email: Option<String>,
    pub(crate) theme_id: Option<i64>,
    pub(crate) color_scheme_id: Option<i64>,
    pub(crate) projects_limit: u32,
    pub(crate) current_sign_in_at: Option<String>,
    pub(crate) last_sign_in_at: Option<String>,
    pub(crate) confirmed_at: String,
    pub(crate) identities: [(); 0],
    pub(crate) can_create_group: bool,
    pub(crate) can_create_project: bool,
    pub(crate) two_factor_enabled: bool,
    pub(crate) external: bool,
}

/// The user who signed in, with the token of the session.
#[derive(Serialize)]
pub(crate) struct Session {
    #[serde(flatten)]
    pub(crate) user: CurrentUser,
    pub(crate) private_token: String,
}
