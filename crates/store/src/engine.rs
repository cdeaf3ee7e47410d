//! How the store reaches its database. Nothing here depends on what is stored.

pub(crate) mod connection;
pub(crate) mod inner;
pub(crate) mod literals;
pub(crate) mod locks;
pub(crate) mod migrations;
pub(crate) mod network;
pub(crate) mod newest;
pub(crate) mod nonces;
pub(crate) mod page;
pub(crate) mod signals;
pub(crate) mod store;
pub(crate) mod time;
pub(crate) mod writer;
