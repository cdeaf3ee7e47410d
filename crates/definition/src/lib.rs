//! `.slipway.yml`: parses the pipeline definition in a repository into the farm's own form.
//!
//! People write this file by hand, so every error has the line and column of the value it is about.
//! This crate only knows the syntax of the file. The rules of pipelines are in `slipway-domain`.

mod error;
mod fields;
mod image_options;
mod job;
mod job_ref;
mod job_spec;
mod matrix;
mod pipeline;
mod surrogates;
mod yaml;

use slipway_domain::pipeline::Definition;

pub use error::{FILE, ParseError, Position};

/// The maximum size of the file, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// The JSON schema of the file, for editors.
pub const SCHEMA: &str = include_str!("../slipway.yml.json");

/// Parses the text of the file.
///
/// # Errors
/// The first error in the file, with its position.
pub fn parse(text: &str) -> Result<Definition, ParseError> {
    if text.len() > MAX_BYTES {
        return Err(too_large(text.len() as u64));
    }
    let file = yaml::parse(text)?;
    pipeline::definition(&file)
}

/// The error for a file that exceeds the limit with `bytes` bytes.
pub fn too_large(bytes: u64) -> ParseError {
    let message = format!("the file has {bytes} bytes, but at most {MAX_BYTES} are allowed");
    Position::START.error(message)
}
