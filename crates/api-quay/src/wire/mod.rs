//! Objects as they are serialized, and what requests contain.

mod fields;
mod new_build;
mod query;

use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use self::fields::Fields;
pub(crate) use self::new_build::NewBuild;
pub(crate) use self::query::Query;

#[derive(Debug, Serialize)]
pub(crate) struct Build {
    pub(crate) id: String,
    pub(crate) phase: &'static str,
    /// When the build was created, although Quay calls it `started`.
    pub(crate) started: String,
    pub(crate) display_name: String,
    /// Progress of the build. Always empty: the farm does not measure it.
    pub(crate) status: Map<String, Value>,
    /// The same as `dockerfile_path`, under the name that old clients read.
    pub(crate) subdirectory: String,
    pub(crate) dockerfile_path: String,
    pub(crate) context: String,
    pub(crate) tags: Vec<String>,
    pub(crate) manual_user: Option<String>,
    pub(crate) is_writer: bool,
    /// Always null: the farm's triggers have nothing in common with Quay's.
    pub(crate) trigger: Option<Value>,
    pub(crate) trigger_metadata: Option<Map<String, Value>>,
    pub(crate) resource_key: Option<String>,
    pub(crate) pull_robot: Option<Robot>,
    pub(crate) repository: Repository,
    /// Why the phase is unknown. Always null.
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) archive_url: Option<String>,
}

/// The robot that pulls base images.
#[derive(Debug, Serialize)]
pub(crate) struct Robot {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) is_robot: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Repository {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Builds {
    pub(crate) builds: Vec<Build>,
}

/// The response to a request for the log of a finished build.
#[derive(Debug, Serialize)]
pub(crate) struct ArchivedLog {
    pub(crate) logs_url: String,
}

/// One entry of a log.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) message: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    pub(crate) data: Map<String, Value>,
}

/// A file that is about to be uploaded to `url`.
#[derive(Debug, Serialize)]
pub(crate) struct FileDrop {
    pub(crate) url: String,
    pub(crate) file_id: String,
}
