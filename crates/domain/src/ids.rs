//! The ids of the farm. Each has its own type, so that two kinds of id cannot be confused.

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
                let invalid = || Invalid::new($what, text, "a 64-bit integer");
                // `i64::from_str` accepts a plus sign, which would give one id two spellings.
                if text.starts_with('+') {
                    return Err(invalid());
                }
                text.parse().map(Self).map_err(|_| invalid())
            }
        }
    };
}

number_id!(
    /// The id of a namespace, which owns projects.
    NamespaceId, "namespace id"
);
number_id!(
    /// The id of a project.
    ProjectId, "project id"
);
number_id!(
    /// The id of a pipeline.
    PipelineId, "pipeline id"
);
number_id!(
    /// The internal id of a build. Most APIs use [`BuildUuid`] instead.
    BuildId, "build id"
);
number_id!(
    /// The id of a job. A retry is a new job with its own id.
    JobId, "job id"
);
number_id!(
    /// The id of a runner.
    RunnerId, "runner id"
);
number_id!(
    /// The id of a queue key: one project with one set of required tags and features.
    QueueKeyId, "queue key id"
);
number_id!(
    /// The id of a user.
    UserId, "user id"
);
number_id!(
    /// The id of a personal access token or a registration token, not its secret.
    TokenId, "token id"
);
number_id!(
    /// The id of an artifact.
    ArtifactId, "artifact id"
);
number_id!(
    /// The id of a registry credential.
    CredentialId, "credential id"
);
number_id!(
    /// The id of a project's variable.
    VariableId, "variable id"
);

number_id!(
    /// The id of a project's trigger, not its token.
    TriggerId, "trigger id"
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                text.parse()
                    .map(Self)
                    .map_err(|_| Invalid::new($what, text, "a UUID"))
            }
        }
    };
}

uuid_id!(
    /// The id of an uploaded file. It is a random UUID (version 4), because knowing it grants access.
    UploadId, "upload id"
);
uuid_id!(
    /// The id that a runner chose for a request for a job. It is the same when the runner sends the
    /// request again.
    ClaimRequestId, "request id"
);
uuid_id!(
    /// The id that a runner chose for a file that it uploads in pieces.
    ArtifactUploadId, "upload id"
);

/// The public id of a build. It is a UUID of version 7, so that ids sort by creation time.
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

/// The UUID of a job, for APIs that identify jobs by UUID.
///
/// It is a version 5 UUID of the job's decimal id in the namespace of the build's UUID. It is
/// computed and not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobUuid(pub Uuid);

impl JobUuid {
    /// Computes the UUID of `job`, a job of `build`.
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
    fn a_job_uuid_depends_on_the_build_and_the_job_id() {
        let build: BuildUuid = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let uuid = JobUuid::of(build, JobId(7));
        assert_eq!(uuid, JobUuid::of(build, JobId(7)));
        assert_ne!(uuid, JobUuid::of(build, JobId(8)));
        let other: BuildUuid = "01890a5d-ac96-774b-bcce-b302099a8058".parse().unwrap();
        assert_ne!(uuid, JobUuid::of(other, JobId(7)));
        assert_eq!(uuid.0.get_version_num(), 5);
        assert_eq!(uuid.to_string().parse(), Ok(uuid));
    }
}
