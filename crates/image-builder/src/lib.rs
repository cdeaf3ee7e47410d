//! Builds one image from a checkout with the Docker Engine, and pushes it.
//!
//! A [`Builder`] takes a directory and a spec and reports to a [`Progress`]. It also renders the
//! engine's progress as a readable trace, pushes images, and deletes what builds leave behind. This
//! crate does not know coordinators, runners or git.

mod build;
mod builder;
mod buildkit;
mod cache_scope;
mod classic;
mod confinement;
mod context;
mod dockerfile;
mod engine;
mod error;
mod images;
mod labels;
mod limits;
mod progress;
mod request;
mod self_test;
mod sharing;

pub use builder::{Backend, Builder, ImageStore};
pub use cache_scope::CacheScope;
pub use confinement::Confinement;
pub use engine::failures::{engine_error, host_fault, is_program_missing};
pub use engine::networks::JOB_INTERFACE_PREFIX;
pub use engine::replay::replay;
pub use error::BuildError;
pub use images::export::Exported;
pub use limits::Limits;
pub use progress::Progress;
pub use request::{BuildRequest, BuiltImage, Login, Origin, ResolvedBase, Variables};
pub use sharing::{LocalImage, LocalImages};
// A build request names the modes of its files.
pub use slipway_build_context::FileModes;
