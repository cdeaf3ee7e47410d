//! References to other jobs of the file.

use crate::error::Position;

/// A reference to another job by its name in the file, which may stand for all jobs of a matrix.
#[derive(Clone, Debug)]
pub(crate) struct JobRef {
    pub(crate) position: Position,
    pub(crate) name: String,
}

impl JobRef {
    pub(crate) fn new(position: Position, name: &str) -> Self {
        Self {
            position,
            name: name.to_owned(),
        }
    }
}
