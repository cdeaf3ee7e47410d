//! Request and response types of the runner protocol v4. Members that runners send and the farm
//! does not need are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use slipway_protocol::{Credentials, lenient};

/// What a runner reports about itself with most requests.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) architecture: Option<String>,
    pub(crate) executor: Option<String>,
    /// Booleans by feature name.
    pub(crate) features: Option<BTreeMap<String, Value>>,
}

impl Info {
    /// Whether the runner announces this feature.
    pub(crate) fn has_feature(&self, feature: &str) -> bool {
        let features = self.features.as_ref();
        let announced = features.and_then(|features| features.get(feature));
        announced == Some(&Value::Bool(true))
    }
}

/// The request of `POST runners`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct RegisterRequest {
    pub(crate) token: Option<String>,
    pub(crate) description: Option<String>,
    #[serde(deserialize_with = "lenient::list")]
    pub(crate) tag_list: Option<String>,
    #[serde(deserialize_with = "lenient::boolean")]
    pub(crate) run_untagged: Option<bool>,
    #[serde(deserialize_with = "lenient::boolean")]
    pub(crate) locked: Option<bool>,
    #[serde(deserialize_with = "lenient::boolean")]
    pub(crate) paused: Option<bool>,
    /// The older, negated name of `paused`.
    #[serde(deserialize_with = "lenient::boolean")]
    pub(crate) active: Option<bool>,
    pub(crate) info: Option<Info>,
}

/// A request that identifies a runner and, from 15.8 on, one of its managers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct RunnerIdentity {
    pub(crate) token: Option<String>,
    pub(crate) system_id: Option<String>,
}

/// The response of `POST runners` and `POST runners/verify`.
#[derive(Serialize)]
pub(crate) struct RegisteredRunner {
    pub(crate) id: i64,
    pub(crate) token: String,
    /// Always null: runner tokens do not expire, so runners need not rotate them.
    pub(crate) token_expires_at: Option<String>,
}

/// The response of the token resets.
#[derive(Serialize)]
pub(crate) struct NewToken {
    pub(crate) token: String,
    /// Always null.
    pub(crate) token_expires_at: Option<String>,
}

/// The request of `POST jobs/request`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct JobRequest {
    pub(crate) info: Option<Info>,
    pub(crate) token: Option<String>,
    pub(crate) system_id: Option<String>,
    pub(crate) last_update: Option<String>,
}

/// The request of `PUT jobs/:id`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct UpdateRequest {
    pub(crate) token: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) failure_reason: Option<String>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) output: Option<TraceSum>,
    /// The older place of `output.checksum`.
    pub(crate) checksum: Option<String>,
}

/// Checksum and length of the whole trace, computed by the runner.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct TraceSum {
    pub(crate) checksum: Option<String>,
    pub(crate) bytesize: Option<u64>,
}

/// A claimed job: the 201 response of `POST jobs/request`.
///
/// The member `run` is left out on purpose: a runner cannot decode the job if it is null, and drops
/// it.
#[derive(Serialize)]
pub(crate) struct JobPayload {
    pub(crate) id: i64,
    pub(crate) token: String,
    pub(crate) allow_git_fetch: bool,
    pub(crate) job_info: JobInfo,
    pub(crate) git_info: GitInfo,
    pub(crate) runner_info: RunnerInfo,
    pub(crate) inputs: [Value; 0],
    pub(crate) variables: Vec<Variable>,
    pub(crate) steps: Vec<Step>,
    pub(crate) image: Option<Image>,
    pub(crate) services: [Value; 0],
    pub(crate) artifacts: Vec<Artifact>,
    pub(crate) cache: [Value; 0],
    pub(crate) credentials: Vec<Credentials>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: Features,
    pub(crate) hooks: [Value; 0],
}

#[derive(Serialize)]
pub(crate) struct JobInfo {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) stage: String,
    pub(crate) project_id: i64,
    pub(crate) project_name: String,
    pub(crate) project_full_path: String,
    pub(crate) namespace_id: i64,
    pub(crate) root_namespace_id: i64,
    pub(crate) organization_id: i64,
    pub(crate) instance_id: String,
    pub(crate) instance_uuid: String,
    pub(crate) user_id: i64,
    pub(crate) scoped_user_id: Option<i64>,
    pub(crate) time_in_queue_seconds: f64,
    /// A number as text; `5+` for five and more.
    pub(crate) project_jobs_running_on_instance_runners_count: String,
    pub(crate) queue_size: i64,
    pub(crate) queue_depth: i64,
    pub(crate) pipeline_id: i64,
}

#[derive(Serialize)]
pub(crate) struct GitInfo {
    pub(crate) repo_url: String,
    pub(crate) repo_object_format: &'static str,
    pub(crate) sha: String,
    pub(crate) before_sha: &'static str,
    #[serde(rename = "ref")]
    pub(crate) git_ref: String,
    pub(crate) ref_type: &'static str,
    pub(crate) refspecs: Vec<String>,
    pub(crate) depth: u32,
    pub(crate) protected: Option<bool>,
}

#[derive(Serialize)]
pub(crate) struct RunnerInfo {
    pub(crate) timeout: u32,
    pub(crate) runner_session_url: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Variable {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) public: bool,
    pub(crate) file: bool,
    pub(crate) masked: bool,
    pub(crate) raw: bool,
}

#[derive(Serialize)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) script: Vec<String>,
    pub(crate) timeout: u32,
    pub(crate) when: &'static str,
    pub(crate) allow_failure: bool,
}

#[derive(Serialize)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) alias: Option<String>,
    pub(crate) entrypoint: [String; 0],
    pub(crate) command: [String; 0],
    pub(crate) ports: [Value; 0],
    pub(crate) variables: [Value; 0],
    pub(crate) pull_policy: [String; 0],
    pub(crate) executor_opts: BTreeMap<String, Value>,
}

#[derive(Serialize)]
pub(crate) struct Artifact {
    pub(crate) name: String,
    pub(crate) untracked: bool,
    pub(crate) paths: Vec<String>,
    pub(crate) exclude: [String; 0],
    pub(crate) when: &'static str,
    pub(crate) artifact_type: &'static str,
    pub(crate) artifact_format: &'static str,
    pub(crate) expire_in: String,
}

#[derive(Serialize)]
pub(crate) struct Dependency {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) artifacts_file: ArtifactsFile,
}

#[derive(Serialize)]
pub(crate) struct ArtifactsFile {
    pub(crate) filename: String,
    pub(crate) size: u64,
}

#[derive(Serialize)]
pub(crate) struct Features {
    pub(crate) trace_sections: bool,
    pub(crate) token_mask_prefixes: Vec<&'static str>,
    pub(crate) failure_reasons: Vec<&'static str>,
}
