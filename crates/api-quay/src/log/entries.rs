//! The entries of a log.

use chrono::{DateTime, Utc};
use slipway_domain::base_image::BaseImage;

use crate::faults::Fault;
use crate::phases::QuayPhase;

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogEntry {
    /// The build entered a phase.
    Phase {
        at: DateTime<Utc>,
        phase: QuayPhase,
        /// The base image that is pulled in this phase, if it is known.
        base: Option<BaseImage>,
    },
    /// A step of the Dockerfile began.
    Command {
        at: DateTime<Utc>,
        /// For example `Step 1/2 : RUN make`.
        text: String,
    },
    /// A line of output.
    Output {
        at: DateTime<Utc>,
        /// The line, with its line break.
        text: String,
    },
    /// An attempt failed.
    Error {
        at: DateTime<Utc>,
        fault: Fault,
        /// The runner's message, if the fault shows it.
        cause: Option<String>,
    },
}

impl LogEntry {
    /// When it happened, or for lines when they were received.
    pub(crate) fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Phase { at, .. }
            | Self::Command { at, .. }
            | Self::Output { at, .. }
            | Self::Error { at, .. } => *at,
        }
    }
}
