//! Push hooks: a forge tells of a commit, and the farm builds it in the project's own name.
//!
//! A hook is believed when it is signed with the project's secret, or where the project has none,
//! with the farm's for that forge. Without any secret no hook is taken.

use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use slipway_domain::{BuildUuid, CommitSha, GitRef, ProjectId, ProjectPath, Role};
use slipway_store::builds::Build;
use slipway_store::{Conn, StoreError, by_commit, webhooks};
use subtle::ConstantTimeEq;

use crate::access::authorize::ProjectAccess;
use crate::builds::commit_requests::Wanted;
use crate::builds::enqueue::{Enqueued, Uniqueness};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::forges::hook_settings::HookSecret;

/// For how many days a delivery is remembered.
const REMEMBERED_DAYS: i64 = 7;
/// The longest id of a delivery that is remembered, in bytes.
const MAX_DELIVERY: usize = 200;
/// How often a push looks again when it meets another one.
const MAX_TRIES: u32 = 5;

/// Who sends a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forge {
    /// GitHub.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea or Forgejo.
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

/// By what a delivery shows that it is from whom it says.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// HMAC-SHA-256 of the body.
    Sha256(&'a [u8]),
    /// HMAC-SHA-1 of the body, which counts only where the operator allows it.
    Sha1(&'a [u8]),
    /// The secret itself.
    Token(&'a str),
    /// By nothing.
    None,
}

/// Why a delivery is not believed. It does not tell whether there is such a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this delivery is refused: its signature is missing or wrong, or no webhook secret is set for \
     this repository, neither by its project nor by the farm's operator"
)]
pub struct HookRefused;

/// Proof that a delivery is from whom it says; only this module makes one.
#[derive(Clone, Debug)]
pub struct VerifiedHook {
    forge: Forge,
    /// The project whose own secret it was signed with.
    project: Option<ProjectId>,
}

/// What a forge says was pushed.
#[derive(Clone, Debug)]
pub struct Push {
    /// The repository.
    pub project: ProjectPath,
    /// Its default branch, where the forge says so.
    pub default_branch: Option<GitRef>,
    /// The branch or tag.
    pub git_ref: GitRef,
    /// Whether it is a tag.
    pub ref_is_tag: bool,
    /// The commit it is at now.
    pub sha: CommitSha,
    /// Whether every step is run anew.
    pub no_cache: bool,
    /// The forge's name for this delivery.
    pub delivery: Option<String>,
}

impl Farm {
    /// Tells whether a delivery about a repository is from whom it says.
    ///
    /// # Errors
    /// `Ok(Err(HookRefused))` when it is not; `Unavailable` when the database is.
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
        // A project that has a secret of its own answers to that one alone.
        let Some(secret) = own.or_else(|| farms.clone()) else {
            tracing::warn!(
                forge = forge.name(),
                "A push hook is refused: no secret is set for it"
            );
            return Ok(Err(HookRefused));
        };
        if !proves(&secret, body, proof, settings.accept_sha1) {
            tracing::warn!(
                forge = forge.name(),
                "A push hook is refused: its signature is wrong"
            );
            return Ok(Err(HookRefused));
        }
        Ok(Ok(VerifiedHook {
            forge,
            project: signed_by_project,
        }))
    }

    /// Builds what was pushed, unless it is being built or the delivery came before; returns the
    /// build, by which the same delivery is answered again.
    ///
    /// # Errors
    /// `NotFound` for a project that is not there and may not be made; `Forbidden` when builds are
    /// switched off, or the hook is another project's.
    pub async fn handle_push(
        &self,
        hook: &VerifiedHook,
        push: Push,
    ) -> Result<BuildUuid, FarmError> {
        let project = self
            .project_of_hook(&push.project, push.default_branch.as_ref())
            .await?;
        if hook.project.is_some_and(|signed| signed != project.id) {
            return Err(FarmError::Forbidden("this hook is another project's"));
        }
        if !project.builds_enabled {
            return Err(FarmError::Forbidden("builds are off in this project"));
        }
        let delivery = push.delivery.as_deref();
        let delivery = delivery.filter(|id| !id.is_empty() && id.len() <= MAX_DELIVERY);
        let delivery = delivery.map(|id| format!("{}:{id}", hook.forge.name()));
        let wanted = Wanted {
            project: &project,
            sha: push.sha,
            git_ref: Some(push.git_ref),
            ref_is_tag: push.ref_is_tag,
            no_cache: push.no_cache,
            created_by: None,
        };
        let new = self.sole_build(wanted).await?;
        let report = self.reports_to(&project);
        let (id, sha, now) = (project.id, new.sha.clone(), self.now());
        let remembered = delivery.clone();
        let answered_or_unfinished = move |conn: &mut Conn| {
            if let Some(delivery) = &remembered
                && let Some(build) = webhooks::build_of(conn, id, delivery)?
            {
                return Ok(Some(build));
            }
            let Some(unfinished) = by_commit::unfinished(conn, id, &sha)? else {
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
        let sole = Uniqueness::SoleOfCommit { report };
        let mut tries = 0;
        loop {
            tries += 1;
            let (before, after) = (answered_or_unfinished.clone(), remember.clone());
            match self
                .enqueue(&project, new.clone(), sole, now, before, after)
                .await
            {
                // The same commit or the same delivery came at the same moment: now it is there.
                Err(StoreError::Conflict(_)) if tries < MAX_TRIES => {}
                Err(error) => return Err(error.into()),
                Ok(Enqueued::Created(build)) => return Ok(build.uuid),
                Ok(Enqueued::Declined(uuid)) => return Ok(uuid),
            }
        }
    }

    /// Sets what the push hooks of a project are signed with. Maintainers do.
    ///
    /// # Errors
    /// `Forbidden` to lower roles.
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

    /// Removes what the push hooks of a project are signed with. Maintainers do.
    ///
    /// # Errors
    /// `Forbidden` to lower roles; `NotFound` when it has none of its own.
    pub async fn remove_hook_secret(&self, access: &ProjectAccess) -> Result<(), FarmError> {
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

    /// Forgets the deliveries that nobody will repeat any more. Returns how many.
    ///
    /// # Errors
    /// `Unavailable` when the database is.
    pub async fn delete_old_deliveries(&self) -> Result<usize, FarmError> {
        let until = self.now() - TimeDelta::days(REMEMBERED_DAYS);
        let forget = move |conn: &mut Conn| webhooks::delete_before(conn, until);
        self.write(forget).await
    }
}

fn context(project: ProjectId) -> String {
    format!("hook:{project}")
}

/// Whether `proof` shows knowledge of `secret`; how long that takes tells nothing of the secret.
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
        // Hashes have one length, so not even the length of the secret shows.
        Proof::Token(token) => {
            let (given, kept) = (Sha256::digest(token.as_bytes()), Sha256::digest(key));
            given.as_slice().ct_eq(kept.as_slice()).into()
        }
        Proof::None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_secret_can_prove_it() {
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
        assert!(!proves(b"Hello", Proof::None));
        assert!(proves(b"", Proof::Token("It's_a_Secret_to_Everybody")));
        assert!(!proves(b"", Proof::Token("It's_a_Secret_to_Everybod")));
        assert!(!proves(b"", Proof::Token("")));
    }

    #[test]
    fn sha1_counts_only_where_the_operator_allows_it() {
        let secret = HookSecret::new("0123456789abcdef").unwrap();
        let mac = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).unwrap();
        let mark = mac.chain_update(b"Hello").finalize().into_bytes();
        assert!(!proves(&secret, b"Hello", Proof::Sha1(&mark), false));
        assert!(proves(&secret, b"Hello", Proof::Sha1(&mark), true));
    }
}
