//! Runs the commands of a script in a container, and moves files in and out of it.
//!
//! The checkout goes into the container as an archive, and what is kept of it comes out as one, so
//! the engine may be on another host and nothing of the container is ever written to this one by
//! anybody but the runner. This crate knows nothing of coordinators or of git.

mod collect;
mod container;
mod disk_limit;
mod error;
mod pack;
mod pattern;
mod pipe;
mod pull;
mod request;
mod save_container;
mod shell;

pub use collect::{Collected, collect};
pub use container::{WORK_DIR, run};
pub use error::ScriptError;
pub use request::ScriptRequest;
pub use save_container::keep;
