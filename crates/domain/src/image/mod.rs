//! Images: their references, platforms and base images, and the packages they are built from.

pub mod base_image;
pub mod details;
pub mod marker;
pub mod package;
pub mod platform;
pub(crate) mod reference;

pub(crate) use reference::MAX_TAG;
pub use reference::{
    Repository, is_reference, is_tag, is_tagged, registry_of, tag_for_ref, tags_for,
};
