//! Sealing, signing, and the secrets that follow from the seal key.

pub(crate) mod derived;
pub(crate) mod jwt;
pub(crate) mod log_key;
pub(crate) mod seal;
pub(crate) mod seal_key_file;
