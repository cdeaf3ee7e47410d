//! Who is calling and what they may do: tokens, passwords, roles, users.

pub(crate) mod authorize;
pub(crate) mod cli_logins;
pub(crate) mod departures;
pub(crate) mod file_links;
pub(crate) mod log_tokens;
pub(crate) mod passwords;
pub(crate) mod people;
pub(crate) mod public;
pub(crate) mod registry_accounts;
pub(crate) mod rotation;
pub(crate) mod tokens;
