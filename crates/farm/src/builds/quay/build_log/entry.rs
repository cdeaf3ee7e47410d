//! One entry of the log of a build.

use chrono::{DateTime, Utc};
use slipway_domain::base_image::BaseImage;

use crate::builds::quay::quay_phases::{Fault, PackagePhase};

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// The build entered a phase.
    Phase {
        /// When.
        at: DateTime<Utc>,
        /// The phase.
        phase: PackagePhase,
        /// The base image that is pulled in it, as far as it is known.
        base: Option<BaseImage>,
    },
    /// A step of the Dockerfile began.
    Command {
        /// When.
        at: DateTime<Utc>,
        /// `Step 1/2 : RUN make`.
        text: String,
    },
    /// A line of output, with its end.
    Output {
        /// When.
        at: DateTime<Utc>,
        /// The line.
        text: String,
    },
    /// An attempt failed.
    Error {
        /// When.
        at: DateTime<Utc>,
        /// Why.
        fault: Fault,
        /// What the runner said of it, where that is shown.
        cause: Option<String>,
    },
}

impl LogEntry {
    /// When it came to be.
    pub fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Phase { at, .. }
            | Self::Command { at, .. }
            | Self::Output { at, .. }
            | Self::Error { at, .. } => *at,
        }
    }
}
