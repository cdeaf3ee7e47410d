//! Every id of the farm, a type of its own each, so that no two can be swapped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::names::Invalid;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let invalid = || Invalid::new($what, text, "a whole number that fits 64 bits");
                // The parser takes a plus sign, which would give one thing two names.
                if text.starts_with('+') {
                    return Err(invalid());
                }
                text.parse().map(Self).map_err(|_| invalid())
            }
        }
    };
}

number_id!(
    /// Names a namespace, the owner of projects.
    NamespaceId, "namespace id"
);
number_id!(
    /// Names a project.
    ProjectId, "project id"
);
number_id!(
    /// Names a pipeline of a project.
    PipelineId, "pipeline id"
);
number_id!(
    /// The farm-wide number of a build. People and most APIs use [`BuildUuid`] instead.
    BuildId, "build id"
);
number_id!(
    /// Names one job, which is one attempt; a retry has an id of its own.
    JobId, "job id"
);
number_id!(
    /// Names a runner.
    RunnerId, "runner id"
);
number_id!(
    /// Names a requirement of jobs: one project with one set of tags.
    QueueKeyId, "queue key id"
);
number_id!(
    /// Names a user.
    UserId, "user id"
);
number_id!(
    /// Names a personal access token or a registration token, never its secret.
    TokenId, "token id"
);
number_id!(
    /// Names an artifact.
    ArtifactId, "artifact id"
);
number_id!(
    /// Names a registry credential.
    CredentialId, "credential id"
);
number_id!(
    /// Names a variable of a project.
    VariableId, "variable id"
);

number_id!(
    /// Names a trigger of a project, never its token.
    TriggerId, "trigger id"
);

/// Names an uploaded file; version 4, as whoever knows it can read the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadId(pub Uuid);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for UploadId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .map(Self)
            .map_err(|_| Invalid::new("file id", text, "a UUID"))
    }
}

/// Names a build to the outside; version 7, so that ids sort by the time they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildUuid(pub Uuid);

impl fmt::Display for BuildUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for BuildUuid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .map(Self)
            .map_err(|_| Invalid::new("build id", text, "a UUID"))
    }
}

/// Names a job to those who know its build by its UUID: version 5, of the job's decimal id in the
/// namespace of the build's UUID. It is stored nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobUuid(pub Uuid);

impl JobUuid {
    /// The name of a job of `build`.
    pub fn of(build: BuildUuid, job: JobId) -> Self {
        Self(Uuid::new_v5(&build.0, job.to_string().as_bytes()))
    }
}

impl fmt::Display for JobUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for JobUuid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .map(Self)
            .map_err(|_| Invalid::new("job id", text, "a UUID"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_of_a_job_follows_from_its_build() {
        let build: BuildUuid = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let name = JobUuid::of(build, JobId(7));
        assert_eq!(name, JobUuid::of(build, JobId(7)));
        assert_ne!(name, JobUuid::of(build, JobId(8)));
        let other: BuildUuid = "01890a5d-ac96-774b-bcce-b302099a8058".parse().unwrap();
        assert_ne!(name, JobUuid::of(other, JobId(7)));
        assert_eq!(name.0.get_version_num(), 5);
        assert_eq!(name.to_string().parse(), Ok(name));
    }
}
