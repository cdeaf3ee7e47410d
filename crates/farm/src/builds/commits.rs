//! Looks up author and message of commits in their repositories, and stores them.

use slipway_domain::{Commit, CommitSha, GitRef, ProjectId, RefName, Role};
use slipway_git::{GitError, RemoteUrl, Wanted};
use slipway_store::projects::Project;
use slipway_store::{Conn, StoreError, builds, commits, projects};

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;

/// The fewest digits that a shortened commit id must have.
const MIN_DIGITS: usize = 7;

impl Farm {
    /// Looks up a commit in the background, unless it is known. Failures are only logged.
    pub(crate) fn look_up_commit(
        &self,
        project: ProjectId,
        sha: CommitSha,
        git_ref: Option<GitRef>,
    ) {
        // A busy repository must not fill the memory with lookups.
        if !self.inner.commit_lookups.try_queue(project, &sha) {
            return;
        }
        let farm = self.clone();
        slipway_tasks::spawn("commit lookup", async move {
            tokio::select! {
                found = farm.look_up_in_turn(project, &sha, git_ref.as_ref()) => {
                    let why = match found {
                        Ok(Lookup::Unreadable(why)) => why,
                        Ok(Lookup::Found(_) | Lookup::Missing) => String::new(),
                        Err(error) => error.to_string(),
                    };
                    if !why.is_empty() {
                        tracing::debug!(project.id = %project, error = %why, "Could not look up commit {sha}");
                        farm.inner.commit_lookups.back_off(project);
                    }
                }
                () = farm.inner.stopping.cancelled() => {}
            }
            farm.inner.commit_lookups.finish(project, sha);
        });
    }

    async fn look_up_in_turn(
        &self,
        project: ProjectId,
        sha: &CommitSha,
        git_ref: Option<&GitRef>,
    ) -> Result<Lookup, FarmError> {
        let _turn = self.inner.commit_lookups.background.acquire().await;
        let wanted = sha.clone();
        let known = move |conn: &mut Conn| match commits::get(conn, project, &wanted) {
            Ok(commit) => Ok(Err(commit)),
            Err(StoreError::NotFound(_)) => projects::get(conn, project).map(Ok),
            Err(error) => Err(error),
        };
        match self.read(known).await? {
            Ok(project) => self.look_up(&project, sha, git_ref).await,
            Err(commit) => Ok(Lookup::Found(commit)),
        }
    }

    /// Looks up a commit in its repository and stores it.
    async fn look_up(
        &self,
        project: &Project,
        sha: &CommitSha,
        git_ref: Option<&GitRef>,
    ) -> Result<Lookup, FarmError> {
        let described = match repository(project) {
            Ok(url) => {
                let url = self.with_deploy_key(project, url).await?;
                self.inner.git.describe(&url, sha, git_ref).await
            }
            Err(error) => Err(error),
        };
        let commit = match described {
            Ok(Some(commit)) => commit,
            Ok(None) => return Ok(Lookup::Missing),
            Err(error) => return Ok(Lookup::Unreadable(error.to_string())),
        };
        self.store_commit(project.id, commit.clone()).await?;
        Ok(Lookup::Found(commit))
    }

    async fn store_commit(&self, project: ProjectId, commit: Commit) -> Result<(), FarmError> {
        let put = move |conn: &mut Conn| commits::put(conn, project, &commit);
        match self.write_exactly(put).await {
            // Another request stored the same commit at the same time.
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores a commit that was read for another reason, in the background. If that fails, the commit
    /// is looked up like others.
    pub(crate) fn note_commit(&self, project: ProjectId, commit: Commit) {
        if !self.inner.commit_lookups.try_queue(project, &commit.sha) {
            return;
        }
        let farm = self.clone();
        slipway_tasks::spawn("commit storage", async move {
            let sha = commit.sha.clone();
            if let Err(error) = farm.store_commit(project, commit).await {
                tracing::debug!(project.id = %project, %error, "Could not store commit {sha}");
            }
            farm.inner.commit_lookups.finish(project, sha);
        });
    }

    /// A commit of a project, stored or looked up.
    ///
    /// # Errors
    /// `NotFound` when the repository does not have the commit, or cannot be read and the commit was
    /// never built; `Unavailable` when the commit was built and the repository cannot be read now;
    /// `Forbidden` when the actor may not see the source.
    pub async fn commit(
        &self,
        access: &ProjectAccess,
        sha: &CommitSha,
    ) -> Result<Commit, FarmError> {
        access.require_source()?;
        let (project, wanted) = (access.id(), sha.clone());
        let known = move |conn: &mut Conn| commits::get(conn, project, &wanted);
        match self.read(known).await {
            Err(FarmError::NotFound(_)) => {}
            known => return known,
        }
        let _turn = self.inner.commit_lookups.foreground.acquire().await;
        match self.look_up(access.project(), sha, None).await? {
            Lookup::Found(commit) => Ok(commit),
            Lookup::Unreadable(why) if self.was_built(access, sha).await? => {
                Err(FarmError::Unavailable(why))
            }
            Lookup::Unreadable(_) | Lookup::Missing => Err(FarmError::NotFound("commit")),
        }
    }

    async fn was_built(&self, access: &ProjectAccess, sha: &CommitSha) -> Result<bool, FarmError> {
        let (project, sha) = (access.id(), sha.clone());
        let built = move |conn: &mut Conn| builds::exists_for_commit(conn, project, &sha);
        self.read(built).await
    }

    /// The commit for a full id, a shortened id, a branch or a tag. Shortened ids are found only among
    /// commits that are stored or were built.
    ///
    /// # Errors
    /// `NotFound` when there is no such commit, or the repository cannot be read; `Forbidden` when the
    /// actor may not see the source.
    pub async fn sha_of(
        &self,
        access: &ProjectAccess,
        reference: &str,
    ) -> Result<CommitSha, FarmError> {
        access.require_source()?;
        if let Ok(sha) = reference.parse() {
            return Ok(sha);
        }
        let is_hex = reference.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hex && reference.len() >= MIN_DIGITS {
            let (project, digits) = (access.id(), reference.to_ascii_lowercase());
            let find = move |conn: &mut Conn| commits::beginning_with(conn, project, &digits);
            if let Some(sha) = self.read(find).await? {
                return Ok(sha);
            }
        }
        let missing = || FarmError::NotFound("commit");
        let name: RefName = reference.parse().map_err(|_| missing())?;
        let url = repository(access.project()).map_err(|_| missing())?;
        let url = self.with_deploy_key(access.project(), url).await?;
        let _turn = self.inner.commit_lookups.foreground.acquire().await;
        match self.inner.git.resolve(&url, Wanted::Ref(&name)).await {
            Ok(found) => found.map(|found| found.sha).ok_or_else(missing),
            Err(_) => Err(missing()),
        }
    }

    /// Whether a commit was built or is in the repository. A repository that cannot be read counts as
    /// empty.
    ///
    /// # Errors
    /// `Forbidden` when the actor may not see the builds.
    pub async fn has_commit(
        &self,
        access: &ProjectAccess,
        sha: &CommitSha,
    ) -> Result<bool, FarmError> {
        access.require_builds(Role::Reader)?;
        if self.was_built(access, sha).await? {
            return Ok(true);
        }
        match self.commit(access, sha).await {
            Ok(_) => Ok(true),
            Err(FarmError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The result of looking a commit up in its repository.
enum Lookup {
    Found(Commit),
    /// The repository does not have it.
    Missing,
    /// The repository could not be read, for this reason.
    Unreadable(String),
}

fn repository(project: &Project) -> Result<RemoteUrl, GitError> {
    project.repo_url.parse()
}
