//! What goes over the wire, field by field as clients read it.

use serde::Serialize;
use serde_json::{Map, Value};

/// One build.
#[derive(Debug, Serialize)]
pub(crate) struct Build {
    pub(crate) id: String,
    pub(crate) phase: &'static str,
    /// When it was asked for.
    pub(crate) started: String,
    pub(crate) display_name: String,
    /// How far it is. The farm does not say.
    pub(crate) status: Map<String, Value>,
    /// The path of the Dockerfile, whatever it is called.
    pub(crate) subdirectory: String,
    pub(crate) dockerfile_path: String,
    pub(crate) context: String,
    pub(crate) tags: Vec<String>,
    pub(crate) manual_user: Option<String>,
    pub(crate) is_writer: bool,
    /// The farm's triggers are of another kind.
    pub(crate) trigger: Option<Value>,
    pub(crate) trigger_metadata: Option<Map<String, Value>>,
    pub(crate) resource_key: Option<String>,
    pub(crate) pull_robot: Option<Robot>,
    pub(crate) repository: Repository,
    /// Why the phase cannot be told. It always can.
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) archive_url: Option<String>,
}

/// Who pulls base images.
#[derive(Debug, Serialize)]
pub(crate) struct Robot {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) is_robot: bool,
}

/// A repository.
#[derive(Debug, Serialize)]
pub(crate) struct Repository {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A list of builds.
#[derive(Debug, Serialize)]
pub(crate) struct Builds {
    pub(crate) builds: Vec<Build>,
}

/// Where the whole log is.
#[derive(Debug, Serialize)]
pub(crate) struct Archived {
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

/// A place for a file.
#[derive(Debug, Serialize)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) file_id: String,
}
