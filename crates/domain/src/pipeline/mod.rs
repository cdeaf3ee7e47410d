//! A pipeline: its definition, when its jobs may run, and how a definition expands into jobs.

mod definition;
pub mod needed_results;
pub mod needs;
pub mod platforms;
pub mod steps;

pub use definition::{Definition, DefinitionError, JobDefinition, MAX_JOBS};
