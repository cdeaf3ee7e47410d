//! A client of image registries, for what the Docker Engine cannot do: indexes of images for
//! several platforms, further tags without another push, and documents that are attached to an
//! image.
//!
//! The protocol is the OCI distribution specification.

mod error;
mod index;
mod manifests;
mod referrers;
mod repository;

pub use error::RegistryError;
pub use referrers::{Attached, Document};
pub use repository::Registry;

#[cfg(test)]
mod tests;
