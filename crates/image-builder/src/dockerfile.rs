//! Checks of a Dockerfile before the engine reads it.

pub(crate) mod first_from;
pub(crate) mod frontend;
pub(crate) mod images;
