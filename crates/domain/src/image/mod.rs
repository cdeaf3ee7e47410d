//! Images: their references, platforms and base images, and the packages they are built from.

pub mod base_image;
pub mod details;
pub mod marker;
pub mod package;
pub mod platform;
pub mod push_targets;
pub(crate) mod reference;
pub(crate) mod tags;

pub(crate) use reference::MAX_TAG;
pub use reference::{
    IMAGE_PATH_PATTERN, Repository, check_image_path, is_reference, is_tag, is_tagged, registry_of,
};
pub use tags::{tag_for_ref, tags_for};
