//! Forges: the webhooks they send, and the commit statuses they get.

pub(crate) mod hook_settings;
pub(crate) mod statuses;
pub(crate) mod webhooks;
