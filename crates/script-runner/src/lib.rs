//! Runs the commands of a script in a container, and copies files into and out of it.
//!
//! The checkout is uploaded to the container as an archive, and artifacts are downloaded as one. So
//! the engine can be on another host, and a container never writes to the file system of this one.
//! This crate does not depend on coordinators or git.

mod archive;
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
mod zip_writer;

pub use archive::Collected;
pub use collect::collect;
pub use container::{WORK_DIR, run};
pub use error::ScriptError;
pub use request::ScriptRequest;
pub use save_container::save_container;
