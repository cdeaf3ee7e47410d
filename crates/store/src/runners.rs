//! Runners: who is registered, what each can run, and when each last made contact.

pub mod managers;
pub(crate) mod projects;
pub(crate) mod queries;
pub mod registration;
pub(crate) mod row;

pub use projects::bound_to;
pub use queries::{
    NewRunner, ONLY_PROJECT, Update, all, by_token, delete, disable, enable, get, insert, list,
    record_contact, revisions, set_token, update,
};
pub use row::{About, Runner};
