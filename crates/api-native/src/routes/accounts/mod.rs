//! Users, namespaces, and the credentials that belong to them.

pub(crate) mod log_keys;
pub(crate) mod namespaces;
pub(crate) mod registry_credentials;
pub(crate) mod robots;
pub(crate) mod tokens;
pub(crate) mod users;
