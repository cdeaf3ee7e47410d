//! Secrets that follow from the farm's key, so that none of them has to be stored.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use slipway_domain::image::marker::ImageMarker;
use slipway_domain::tokens::{RegistrationToken, SourceToken, TOKEN_ENTROPY_BYTES, TriggerToken};
use slipway_domain::{BuildUuid, JobId, JobToken, ProjectId, TriggerId, UserId};
use uuid::Uuid;

use crate::farm::Farm;

impl Farm {
    /// The token with which a job's runner sends its trace and artifacts.
    pub(crate) fn job_token(&self, job: JobId) -> JobToken {
        JobToken::from_entropy(self.derived(&format!("job {job}")))
    }

    /// A token that fetches a job's archive and can do nothing else: jobs that need it get it.
    pub(crate) fn archive_token(&self, job: JobId) -> JobToken {
        JobToken::from_entropy(self.derived(&format!("archive {job}")))
    }

    /// The token with which the runners of a build fetch the sources that were handed in with it.
    pub(crate) fn source_token(&self, build: BuildUuid) -> SourceToken {
        SourceToken::from_entropy(self.derived(&format!("source {build}")))
    }

    /// A name for a user to those who tell users apart by UUIDs. It is stored nowhere.
    pub fn user_uuid(&self, user: UserId) -> Uuid {
        self.derived_uuid(&format!("uuid of user {user}"))
    }

    /// A name for the farm to those who tell farms apart by UUIDs. It lasts as long as the key.
    pub fn uuid(&self) -> Uuid {
        self.derived_uuid("uuid of the farm")
    }

    fn derived_uuid(&self, purpose: &str) -> Uuid {
        let derived = self.derived(purpose);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&derived[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The token with which runners of one project register. Nobody has to make it, and it is the
    /// same for ever; those that somebody makes can be revoked.
    ///
    /// It is for those who may add runners to the project: its maintainers.
    pub fn project_runners_token(&self, project: ProjectId) -> RegistrationToken {
        let derived = self.derived(&format!("runners of project {project}"));
        RegistrationToken::of_project(project, derived)
    }

    /// The project whose runners register with `token`, if it is the one of a project.
    pub(crate) fn project_of_runners_token(&self, token: &RegistrationToken) -> Option<ProjectId> {
        let project = token.project()?;
        let own = self.project_runners_token(project);
        (own.hash() == token.hash()).then_some(project)
    }

    /// The token with which a trigger starts builds.
    pub fn trigger_token(&self, trigger: TriggerId) -> TriggerToken {
        let derived = self.derived(&format!("trigger {trigger}"));
        TriggerToken::of_trigger(trigger, derived)
    }

    /// The mark of the line by which a job's commands tell of their image.
    pub(crate) fn image_mark(&self, job: JobId) -> ImageMarker {
        ImageMarker::from_entropy(&self.derived(&format!("image {job}")))
    }

    /// Twenty bytes that only a holder of the key can tell for `purpose`.
    pub(crate) fn derived(&self, purpose: &str) -> [u8; TOKEN_ENTROPY_BYTES] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.inner.seal.bytes()) else {
            unreachable!("HMAC takes a key of any length");
        };
        mac.update(purpose.as_bytes());
        let mut bytes = [0; TOKEN_ENTROPY_BYTES];
        bytes.copy_from_slice(&mac.finalize().into_bytes()[..TOKEN_ENTROPY_BYTES]);
        bytes
    }
}
