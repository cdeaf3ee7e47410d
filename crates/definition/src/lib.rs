//! `.slipway.yml`: the pipeline that a repository brings along, read into the farm's own form.
//!
//! What people write is made for people, and what is wrong with it is told with its place. The
//! rules of a pipeline are the domain's; here is only how they are written down.

mod building;
mod fault;
mod fields;
mod graph;
mod job;
mod matrix;
mod node;
mod reference;
mod steps;

use slipway_domain::pipeline::Definition;

pub use fault::{Fault, Place};

/// Where the file is, from the root of the repository.
pub const FILE: &str = ".slipway.yml";
/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// What the file may be, as a JSON schema for editors.
pub const SCHEMA: &str = include_str!("../slipway.yml.json");

/// Reads the text of the file.
///
/// # Errors
/// The first thing that is wrong, with its line and column.
pub fn read(text: &str) -> Result<Definition, Fault> {
    if text.len() > MAX_BYTES {
        return Err(too_large(text.len() as u64));
    }
    let file = node::parse(text)?;
    graph::definition(&file)
}

/// Says that a file of so many bytes is not read.
pub fn too_large(bytes: u64) -> Fault {
    let why = format!("the file has {bytes} bytes, and at most {MAX_BYTES} are read");
    Place::START.fault(why)
}
