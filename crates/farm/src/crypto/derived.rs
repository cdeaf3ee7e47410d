//! Secrets that are derived from the farm's seal key, so that none of them has to be stored.

use std::fmt::Display;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use slipway_domain::image::marker::ImageMarker;
use slipway_domain::tokens::{RegistrationToken, SourceToken, TOKEN_ENTROPY_BYTES, TriggerToken};
use slipway_domain::{BuildUuid, JobToken, NamespaceId, Nonce, PipelineId, TokenId, UserId};
use slipway_store::jobs::Job;
use slipway_store::projects::Project;
use slipway_store::triggers::Trigger;
use uuid::Uuid;

use crate::farm::Farm;

impl Farm {
    /// The token with which the runner of a job sends trace and artifacts.
    pub(crate) fn job_token(&self, job: &Job) -> JobToken {
        JobToken::from_entropy(self.derived_for("job", job.id, job.nonce))
    }

    /// A token that can only fetch the archive of a job, for the jobs that need it.
    pub(crate) fn archive_token(&self, job: &Job) -> JobToken {
        JobToken::from_entropy(self.derived_for("archive", job.id, job.nonce))
    }

    /// The token with which the runners of a build fetch its submitted sources.
    pub(crate) fn source_token(&self, build: BuildUuid) -> SourceToken {
        SourceToken::from_entropy(self.derived(&format!("source {build}")))
    }

    /// A UUID for a user, for APIs that identify users by UUIDs.
    pub fn user_uuid(&self, user: UserId) -> Uuid {
        self.derived_uuid(&format!("uuid of user {user}"))
    }

    /// A UUID for an access token, for APIs that identify tokens by UUIDs.
    pub fn token_uuid(&self, token: TokenId) -> Uuid {
        self.derived_uuid(&format!("uuid of token {token}"))
    }

    /// A UUID for a pipeline, for APIs that identify pipelines by UUIDs.
    pub fn pipeline_uuid(&self, pipeline: PipelineId) -> Uuid {
        self.derived_uuid(&format!("uuid of pipeline {pipeline}"))
    }

    /// A UUID for a namespace, for APIs that identify namespaces by UUIDs.
    pub fn namespace_uuid(&self, namespace: NamespaceId) -> Uuid {
        self.derived_uuid(&format!("uuid of namespace {namespace}"))
    }

    /// A UUID for the farm, which changes only with the seal key.
    pub fn uuid(&self) -> Uuid {
        self.derived_uuid("uuid of the farm")
    }

    fn derived_uuid(&self, purpose: &str) -> Uuid {
        let derived = self.derived(purpose);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&derived[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The token with which runners of one project register. It exists without being created and is
    /// valid until it is reset, unlike the registration tokens that maintainers create.
    ///
    /// Show it only to maintainers of the project, who may add runners.
    pub fn project_runners_token(&self, project: &Project) -> RegistrationToken {
        let derived = self.derived_for("runners of project", project.id, project.runners_nonce);
        RegistrationToken::of_project(project.id, derived)
    }

    /// Whether `token` is the runners token of a project.
    pub(crate) fn is_runners_token(&self, token: &RegistrationToken, project: &Project) -> bool {
        self.project_runners_token(project).hash() == token.hash()
    }

    /// The token with which a trigger starts builds.
    pub fn trigger_token(&self, trigger: &Trigger) -> TriggerToken {
        let derived = self.derived_for("trigger", trigger.id, trigger.nonce);
        TriggerToken::of_trigger(trigger.id, derived)
    }

    /// The marker of the line by which the commands of a job report their image.
    pub(crate) fn image_mark(&self, job: &Job) -> ImageMarker {
        ImageMarker::from_entropy(&self.derived_for("image", job.id, job.nonce))
    }

    /// [`Farm::derived`] for a row. Its id alone would come again after a restore; rows of earlier
    /// versions have nothing else, and keep their tokens.
    fn derived_for(
        &self,
        purpose: &str,
        id: impl Display,
        nonce: Option<Nonce>,
    ) -> [u8; TOKEN_ENTROPY_BYTES] {
        match nonce {
            Some(nonce) => self.derived(&format!("{purpose} {id} {nonce}")),
            None => self.derived(&format!("{purpose} {id}")),
        }
    }

    /// Twenty bytes that only a holder of the seal key can compute for `purpose`.
    pub(crate) fn derived(&self, purpose: &str) -> [u8; TOKEN_ENTROPY_BYTES] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.inner.seal.bytes()) else {
            unreachable!("HMAC accepts keys of any length");
        };
        mac.update(purpose.as_bytes());
        let mut bytes = [0; TOKEN_ENTROPY_BYTES];
        bytes.copy_from_slice(&mac.finalize().into_bytes()[..TOKEN_ENTROPY_BYTES]);
        bytes
    }
}
