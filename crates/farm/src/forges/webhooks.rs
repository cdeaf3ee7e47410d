//! Push webhooks: a forge reports a commit, and the farm builds it.
//!
//! A webhook is accepted when it is signed with the secret of the project or, for a project without
//! one, with the farm's secret for that forge. Without any secret no webhook is accepted.

use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use slipway_domain::{BuildUuid, CommitSha, GitRef, ProjectId, ProjectPath, Role};
use slipway_store::builds::Build;
use slipway_store::by_commit::SoleOf;
use slipway_store::{Conn, StoreError, by_commit, webhooks};
use subtle::ConstantTimeEq;

use crate::access::authorize::{ProjectAccess, check_accepts_builds};
use crate::builds::create::commit_requests::CommitBuild;
use crate::builds::create::enqueue::{Enqueued, Uniqueness};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::forges::hook_settings::HookSecret;

/// For how many days a delivery is remembered, so that its repetition gets the same answer.
const REMEMBERED_DAYS: i64 = 7;
/// The longest id of a delivery that is remembered, in bytes.
const MAX_DELIVERY: usize = 200;
/// How often a push is tried when it collides with another one.
const MAX_TRIES: u32 = 5;

/// The software that sends a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forge {
    GitHub,
    GitLab,
    /// Also Forgejo.
    Gitea,
}

impl Forge {
    fn name(self) -> &'static str {
        match self {
            Forge::GitHub => "github",
            Forge::GitLab => "gitlab",
            Forge::Gitea => "gitea",
        }
    }
}

/// How a delivery proves that its sender knows the secret.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// HMAC-SHA-256 of the body.
    Sha256(&'a [u8]),
    /// HMAC-SHA-1 of the body, which is accepted only if the settings allow it.
    Sha1(&'a [u8]),
    /// The secret itself.
    Token(&'a str),
}

/// A delivery is not accepted. The error does not reveal whether the project exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this delivery is refused: its signature is missing or wrong, or no webhook secret is set for \
     this repository, neither in its project nor in the settings of the farm"
)]
pub struct HookRefused;

/// Proof that a delivery was signed with the right secret; only this module makes one.
#[derive(Clone, Debug)]
pub struct VerifiedHook {
    forge: Forge,
    /// The project whose own secret was used.
    project: Option<ProjectId>,
}

/// A push that a forge reports.
#[derive(Clone, Debug)]
pub struct Push {
    pub project: ProjectPath,
    /// The default branch, if the forge reports it.
    pub default_branch: Option<GitRef>,
    pub git_ref: GitRef,
    pub ref_is_tag: bool,
    /// The commit that the ref points to now.
    pub sha: CommitSha,
    /// Whether to build without any cache.
    pub no_cache: bool,
    /// The id that the forge gave the delivery.
    pub delivery: Option<String>,
}

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// The build of the pushed commit and ref.
    Build(BuildUuid),
    /// Nothing is built, for this reason.
    NotBuilt(String),
    /// Reading the repository takes longer than forges wait. The build is created afterwards.
    Accepted,
}

impl Farm {
    /// Checks the signature of a delivery about a repository.
    ///
    /// # Errors
    /// `Ok(Err(HookRefused))` when it is not accepted; `Unavailable`.
    pub async fn verify_hook(
        &self,
        forge: Forge,
        repository: Option<&ProjectPath>,
        body: &[u8],
        proof: Proof<'_>,
    ) -> Result<Result<VerifiedHook, HookRefused>, FarmError> {
        let settings = &self.inner.settings.hooks;
        let project = match repository {
            Some(path) => self.project_at(path).await?,
            None => None,
        };
        let own = match &project {
            Some(project) => self.own_secret(project.id).await?,
            None => None,
        };
        let signed_by_project = own.as_ref().and(project.as_ref()).map(|project| project.id);
        let farms = match forge {
            Forge::GitHub => &settings.github,
            Forge::GitLab => &settings.gitlab,
            Forge::Gitea => &settings.gitea,
        };
        // For a project with its own secret, the farm's secret is not accepted.
        let Some(secret) = own.or_else(|| farms.clone()) else {
            tracing::warn!(
                forge = forge.name(),
                "Refused a push webhook: no secret is set for it"
            );
            return Ok(Err(HookRefused));
        };
        if !proves(&secret, body, proof, settings.accept_sha1) {
            tracing::warn!(
                forge = forge.name(),
                "Refused a push webhook: its signature is wrong"
            );
            return Ok(Err(HookRefused));
        }
        Ok(Ok(VerifiedHook {
            forge,
            project: signed_by_project,
        }))
    }

    /// Builds what was pushed, unless the ref is being built at this commit or the delivery was handled
    /// before. A repeated delivery gets the same build.
    ///
    /// # Errors
    /// `Forbidden` when the webhook was signed with the secret of another project; `Unavailable`.
    pub async fn handle_push(
        &self,
        hook: &VerifiedHook,
        push: Push,
    ) -> Result<PushOutcome, FarmError> {
        let (farm, hook) = (self.clone(), hook.clone());
        // A task of its own: forges hang up after some seconds, and the build is created all the same.
        let mut handling = slipway_tasks::spawn("push", async move {
            let outcome = farm.build_push(&hook, push).await;
            if let Err(error) = &outcome {
                tracing::warn!(%error, "Could not build what was pushed");
            }
            outcome
        });
        let wait = self.inner.settings.hook_wait;
        match tokio::time::timeout(wait, &mut handling).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panicked)) => Err(FarmError::Internal(panicked.into())),
            Err(_) => Ok(PushOutcome::Accepted),
        }
    }

    async fn build_push(&self, hook: &VerifiedHook, push: Push) -> Result<PushOutcome, FarmError> {
        let found = self.project_of_hook(&push.project, push.default_branch.as_ref());
        // Not errors: forges disable a webhook after a few of them, although the next push may be
        // one that is built.
        let project = match found.await {
            Err(FarmError::NotFound(_)) => {
                let why = format!("this farm has no project {}", push.project);
                return Ok(PushOutcome::NotBuilt(why));
            }
            Err(FarmError::Invalid(why)) => return Ok(PushOutcome::NotBuilt(why)),
            found => found?,
        };
        if hook.project.is_some_and(|signed| signed != project.id) {
            return Err(FarmError::Forbidden(
                "this webhook belongs to another project",
            ));
        }
        if let Err(why) = check_accepts_builds(&project) {
            return Ok(PushOutcome::NotBuilt(why.to_string()));
        }
        let delivery = push.delivery.as_deref();
        // Forges choose the ids; an overlong one is ignored rather than stored.
        let delivery = delivery.filter(|id| !id.is_empty() && id.len() <= MAX_DELIVERY);
        let delivery = delivery.map(|id| format!("{}:{id}", hook.forge.name()));
        let wanted = CommitBuild {
            project: &project,
            sha: push.sha,
            git_ref: Some(push.git_ref.clone()),
            ref_is_tag: push.ref_is_tag,
            // The forge signed it.
            is_head: true,
            no_cache: push.no_cache,
            created_by: None,
        };
        let new = self.sole_build(wanted).await?;
        let report = self.reports_to(&project);
        let (id, sha, now) = (project.id, new.sha.clone(), self.now());
        let (remembered, git_ref) = (delivery.clone(), push.git_ref);
        let answered_or_unfinished = move |conn: &mut Conn| {
            if let Some(delivery) = &remembered
                && let Some(build) = webhooks::build_of(conn, id, delivery)?
            {
                return Ok(Some(build));
            }
            // Another ref at the same commit has tags and variables of its own, so it gets a build of
            // its own.
            let unfinished = by_commit::unfinished(conn, id, &sha, &git_ref, push.ref_is_tag)?;
            let Some(unfinished) = unfinished else {
                return Ok(None);
            };
            if let Some(delivery) = &remembered {
                webhooks::record(conn, id, delivery, unfinished.uuid, now)?;
            }
            Ok(Some(unfinished.uuid))
        };
        let remember = move |conn: &mut Conn, build: &Build| match &delivery {
            Some(delivery) => webhooks::record(conn, id, delivery, build.uuid, now),
            None => Ok(()),
        };
        let sole = Uniqueness::Sole {
            of: SoleOf::Ref,
            report,
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let (before, after) = (answered_or_unfinished.clone(), remember.clone());
            match self
                .enqueue(&project, new.clone(), sole, now, before, after)
                .await
            {
                // Another request built the commit or handled the delivery at the same time; the next
                // try finds it.
                Err(StoreError::Conflict(_)) if tries < MAX_TRIES => {}
                Err(StoreError::Conflict(why)) => {
                    return Err(FarmError::Unavailable(why.to_owned()));
                }
                // The project was frozen in the meantime.
                Err(error @ StoreError::ReadOnly) => {
                    return Ok(PushOutcome::NotBuilt(error.to_string()));
                }
                Err(error) => return Err(error.into()),
                Ok(Enqueued::Created(build)) => return Ok(PushOutcome::Build(build.uuid)),
                Ok(Enqueued::Declined(uuid)) => return Ok(PushOutcome::Build(uuid)),
            }
        }
    }

    /// Sets the webhook secret of a project. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn set_hook_secret(
        &self,
        access: &ProjectAccess,
        secret: &HookSecret,
    ) -> Result<(), FarmError> {
        access.require(Role::Maintainer)?;
        let (project, now) = (access.id(), self.now());
        let nonce = self.inner.chance.bytes();
        let sealed = self
            .inner
            .seal
            .seal(&context(project), secret.expose(), nonce);
        let put = move |conn: &mut Conn| webhooks::put_secret(conn, project, &sealed, now);
        self.write(put).await
    }

    /// Deletes the webhook secret of a project. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when the project has none.
    pub async fn delete_hook_secret(&self, access: &ProjectAccess) -> Result<(), FarmError> {
        access.require(Role::Maintainer)?;
        let project = access.id();
        let remove = move |conn: &mut Conn| webhooks::delete_secret(conn, project);
        self.write(remove).await
    }

    async fn own_secret(&self, project: ProjectId) -> Result<Option<HookSecret>, FarmError> {
        let find = move |conn: &mut Conn| webhooks::secret(conn, project);
        let Some(sealed) = self.read(find).await? else {
            return Ok(None);
        };
        let plain = self.inner.seal.open(&context(project), &sealed)?;
        Ok(Some(HookSecret::stored(plain)))
    }

    /// Deletes the records of old deliveries, which forges no longer repeat. Returns how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete_old_deliveries(&self) -> Result<usize, FarmError> {
        let until = self.now() - TimeDelta::days(REMEMBERED_DAYS);
        let forget = move |conn: &mut Conn| webhooks::delete_before(conn, until);
        self.write(forget).await
    }
}

fn context(project: ProjectId) -> String {
    format!("hook:{project}")
}

/// Whether `proof` shows knowledge of `secret`. The time this takes reveals nothing about the secret.
fn proves(secret: &HookSecret, body: &[u8], proof: Proof<'_>, accept_sha1: bool) -> bool {
    let key = secret.expose().as_bytes();
    match proof {
        Proof::Sha256(mark) => Hmac::<Sha256>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(body).verify_slice(mark).is_ok()),
        Proof::Sha1(mark) => {
            accept_sha1
                && Hmac::<Sha1>::new_from_slice(key)
                    .is_ok_and(|mac| mac.chain_update(body).verify_slice(mark).is_ok())
        }
        // Comparing hashes hides even the length of the secret.
        Proof::Token(token) => {
            let (given, kept) = (Sha256::digest(token.as_bytes()), Sha256::digest(key));
            given.as_slice().ct_eq(kept.as_slice()).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proofs_with_the_right_secret_are_accepted() {
        let secret = HookSecret::new("It's a Secret to Everybody".replace(' ', "_").as_str());
        let secret = secret.unwrap();
        let sign = |body: &[u8]| {
            let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).unwrap();
            mac.chain_update(body).finalize().into_bytes().to_vec()
        };
        let mark = sign(b"Hello");
        let proves = |body: &[u8], proof| proves(&secret, body, proof, false);
        assert!(proves(b"Hello", Proof::Sha256(&mark)));
        assert!(!proves(b"Hello ", Proof::Sha256(&mark)));
        assert!(!proves(b"Hello", Proof::Sha256(&mark[..31])));
        assert!(!proves(b"Hello", Proof::Sha256(b"")));
        assert!(proves(b"", Proof::Token("It's_a_Secret_to_Everybody")));
        assert!(!proves(b"", Proof::Token("It's_a_Secret_to_Everybod")));
        assert!(!proves(b"", Proof::Token("")));
    }

    #[test]
    fn sha1_is_accepted_only_if_the_settings_allow_it() {
        let secret = HookSecret::new("0123456789abcdef").unwrap();
        let mac = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).unwrap();
        let mark = mac.chain_update(b"Hello").finalize().into_bytes();
        assert!(!proves(&secret, b"Hello", Proof::Sha1(&mark), false));
        assert!(proves(&secret, b"Hello", Proof::Sha1(&mark), true));
    }
}
