//! Images in the engine: pulling, inspecting, pushing, exporting and deleting them.

pub(crate) mod archive;
pub(crate) mod base_image;
pub(crate) mod cleanup;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod kept_layers;
pub(crate) mod layer_cache;
pub(crate) mod local_tags;
pub(crate) mod pull;
pub(crate) mod pull_right;
pub(crate) mod push;
pub(crate) mod registry_retry;
