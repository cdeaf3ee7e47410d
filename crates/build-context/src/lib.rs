//! The build context: which files of a directory are sent, and how they are packed.
//!
//! Runners pack a checkout for the Docker Engine and the command line packs a developer's
//! directory for the farm; both do it by the rules here, so that the same image comes of both.
//! Nothing here knows the engine or the farm.

mod context;
mod entry;
mod error;
mod ignore;
mod pack;
mod pieces;

pub use context::{Context, Extent, Tell};
pub use entry::{Content, Entry, Keep, Kind, Packing};
pub use error::ContextError;
pub use pieces::pieces_of;
