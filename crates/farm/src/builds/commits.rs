//! Commits: learnt from the repository when something of them is built or asked for, then
//! remembered.

use slipway_domain::{Commit, CommitSha, GitRef, ProjectId, Role};
use slipway_git::{GitError, RemoteUrl, Wanted};
use slipway_store::projects::Project;
use slipway_store::{Conn, StoreError, builds, commits, projects};

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;

/// The fewest digits by which a commit is looked up.
const MIN_DIGITS: usize = 7;

impl Farm {
    /// Learns a commit in the background, unless it is known. Whatever becomes of that, nobody
    /// waits for it and nothing fails.
    pub(crate) fn learn_commit(&self, project: ProjectId, sha: CommitSha, git_ref: Option<GitRef>) {
        if !self.inner.commit_lookups.try_queue(project, &sha) {
            return;
        }
        let farm = self.clone();
        slipway_tasks::spawn("commit lookup", async move {
            tokio::select! {
                learnt = farm.learn_in_turn(project, &sha, git_ref.as_ref()) => {
                    let why = match learnt {
                        Ok(Lookup::Unreadable(why)) => why,
                        Ok(Lookup::Found(_) | Lookup::Missing) => String::new(),
                        Err(error) => error.to_string(),
                    };
                    if !why.is_empty() {
                        tracing::debug!(project.id = %project, error = %why, "Commit {sha} is not learnt now");
                        farm.inner.commit_lookups.back_off(project);
                    }
                }
                () = farm.inner.stopping.cancelled() => {}
            }
            farm.inner.commit_lookups.finish(project, sha);
        });
    }

    async fn learn_in_turn(
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
            Ok(project) => self.learn(&project, sha, git_ref).await,
            Err(commit) => Ok(Lookup::Found(commit)),
        }
    }

    /// Asks the repository for a commit and remembers it.
    async fn learn(
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
        self.remember_commit(project.id, commit.clone()).await?;
        Ok(Lookup::Found(commit))
    }

    async fn remember_commit(&self, project: ProjectId, commit: Commit) -> Result<(), FarmError> {
        let put = move |conn: &mut Conn| commits::put(conn, project, &commit);
        match self.inner.store.write(put).await {
            // Somebody else was quicker, with the same commit.
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers a commit that the repository was asked for anyway. Nobody waits for it, and without
    /// it the commit is learnt like others.
    pub(crate) fn note_commit(&self, project: ProjectId, commit: Commit) {
        if !self.inner.commit_lookups.try_queue(project, &commit.sha) {
            return;
        }
        let farm = self.clone();
        slipway_tasks::spawn("commit storage", async move {
            let sha = commit.sha.clone();
            if let Err(error) = farm.remember_commit(project, commit).await {
                tracing::debug!(project.id = %project, %error, "Commit {sha} is not remembered now");
            }
            farm.inner.commit_lookups.finish(project, sha);
        });
    }

    /// A commit of a project's repository: remembered, or asked for there and then.
    ///
    /// # Errors
    /// `NotFound` when the repository lacks it, or cannot be read and nothing of it was built;
    /// `Unavailable` when something was built of it and the repository cannot be read now;
    /// `Forbidden` to those who may not see the source.
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
        match self.learn(access.project(), sha, None).await? {
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

    /// The commit that a full sha, its first digits, a branch or a tag stands for. First digits
    /// do for what is remembered or was built; the repository is not asked for them.
    ///
    /// # Errors
    /// `NotFound` when there is none, or the repository cannot be read; `Forbidden` to those who
    /// may not see the source.
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
        let name: GitRef = reference.parse().map_err(|_| missing())?;
        let url = repository(access.project()).map_err(|_| missing())?;
        let url = self.with_deploy_key(access.project(), url).await?;
        let _turn = self.inner.commit_lookups.foreground.acquire().await;
        match self.inner.git.resolve(&url, Wanted::Ref(&name)).await {
            Ok(found) => found.map(|found| found.sha).ok_or_else(missing),
            Err(_) => Err(missing()),
        }
    }

    /// Whether a commit is known: something of it was built, or the repository has it. A
    /// repository that cannot be read has nothing.
    ///
    /// # Errors
    /// `Forbidden` to those who see the project but not its builds.
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
