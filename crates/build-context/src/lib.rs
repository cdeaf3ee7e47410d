//! The build context: which files of a directory are sent, and how they are packed.
//!
//! Runners pack a checkout for the Docker Engine, and the command line packs a developer's
//! directory for the farm. Both use this crate, so that both produce the same image. Nothing here
//! depends on the engine or the farm.

mod chunks;
mod context;
mod entry;
mod error;
mod ignore;
mod linked_file;
mod pack;
mod walk;

pub use chunks::chunks_of_writer;
pub use context::{Context, ContextSize};
pub use entry::{Content, Entry, EntryKind, FileModes, KeepIgnored, Packing};
pub use error::ContextError;
pub use linked_file::with_lower_case;
pub use walk::Visitor;
