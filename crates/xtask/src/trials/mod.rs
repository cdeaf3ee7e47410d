//! What the trials of running programs share: a farm of processes, and requests to it.

pub(crate) mod farm;
pub(crate) mod http;
pub(crate) mod proxy;
pub(crate) mod random;
