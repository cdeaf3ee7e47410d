//! Builds that are asked for and found by repository and commit: at most one of a commit is
//! unfinished.

use slipway_domain::{
    ArtifactId, BuildUuid, CommitName, CommitSha, GitRef, JobSpec, ProjectId, ProjectPath, Role,
    Slug, UserId, Visibility,
};
use slipway_git::{GitError, RemoteUrl, Wanted as WantedRef};
use slipway_store::artifacts::{self, Artifact, Content};
use slipway_store::builds::{self, Build, Handed, NewBuild};
use slipway_store::pipelines;
use slipway_store::projects::{self, Project};
use slipway_store::{Conn, StoreError, by_commit, jobs};
use uuid::Uuid;

use crate::access::Actor;
use crate::completing::Revision;
use crate::definitions::jobs_or_error;
use crate::{Farm, FarmError};

/// A commit that somebody wants an image of.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The project.
    pub project: ProjectPath,
    /// The branch; its image is where layers are taken from, and its head is the commit when no
    /// other is given.
    pub branch: Option<GitRef>,
    /// The commit.
    pub sha: Option<CommitSha>,
}

/// Why a commit is not built.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The farm refuses.
    #[error(transparent)]
    Farm(#[from] FarmError),
    /// The repository has no such branch.
    #[error("{repository} has no branch {branch}")]
    NoSuchBranch {
        /// The project's path.
        repository: String,
        /// The branch.
        branch: GitRef,
    },
    /// Who keeps the repository did not tell where the branch is.
    #[error("{repository} could not be asked for its branch: {why}")]
    Upstream {
        /// The project's path.
        repository: String,
        /// What was the matter.
        why: String,
    },
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        RequestError::Farm(error.into())
    }
}

/// How somebody names a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildIdentity {
    /// By its UUID, or where an image is looked for, by the image's.
    Uuid(Uuid),
    /// By its commit: the newest one of it.
    Commit(CommitName),
}

/// An image, with what names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundImage {
    /// Its id.
    pub id: Uuid,
    /// What it can be pulled by.
    pub reference: String,
    /// The build that made it.
    pub build: BuildUuid,
}

/// A build that is about to be made, with everything that is known of it.
pub(crate) struct Wanted<'a> {
    pub(crate) project: &'a Project,
    pub(crate) sha: CommitSha,
    pub(crate) git_ref: Option<GitRef>,
    pub(crate) ref_is_tag: bool,
    pub(crate) no_cache: bool,
    pub(crate) created_by: Option<UserId>,
}

impl Farm {
    /// Makes the only unfinished build of a commit, by the project's default pipeline. Developers
    /// do. Without a commit it is the head of the branch.
    ///
    /// # Errors
    /// `Conflict` when such a build is not over; `NoSuchBranch` and `Upstream` when the head
    /// cannot be told, in which case nothing is kept but perhaps the project; `NotFound` for a
    /// project that is not there and that the operator's policy does not let be made.
    pub async fn request_commit(
        &self,
        actor: &Actor,
        request: CommitRequest,
    ) -> Result<(Project, Build), RequestError> {
        let project = self.project_on_first_use(actor, &request.project).await?;
        let sha = match (request.sha, &request.branch) {
            (Some(sha), _) => sha,
            (None, Some(branch)) => self.head_of(&project, branch).await?,
            (None, None) => {
                let why = "a build needs a branch or a sha".to_owned();
                return Err(FarmError::Invalid(why).into());
            }
        };
        let wanted = Wanted {
            project: &project,
            sha,
            git_ref: request.branch,
            ref_is_tag: false,
            no_cache: false,
            created_by: Some(actor.user),
        };
        let new = self.sole_build(wanted).await?;
        let report = self.reports_to(&project);
        let (warm_wait, now) = (self.warm_wait(), self.now());
        let (build, changes) = self
            .inner
            .store
            .write(move |conn| by_commit::create_sole(conn, &new, report, warm_wait, now))
            .await?;
        self.announce_build(&project, &build, changes).await;
        Ok((project, build))
    }

    /// Everything that the row of a sole build is made of.
    pub(crate) async fn sole_build(&self, wanted: Wanted<'_>) -> Result<NewBuild, FarmError> {
        let project = wanted.project;
        let (id, slug) = (project.id, Slug::default_pipeline());
        let find = move |conn: &mut Conn| pipelines::by_slug(conn, id, &slug);
        let pipeline = self.inner.store.read(find).await?;
        let git_ref = wanted.git_ref;
        let at = Revision {
            sha: &wanted.sha,
            git_ref: git_ref.as_ref(),
            ref_is_tag: wanted.ref_is_tag,
        };
        let jobs = self.jobs_at(&pipeline, project, at).await;
        let (mut definition, error) = match wanted.created_by {
            Some(_) => (jobs?, None),
            // Nobody waits for what a push has made.
            None => jobs_or_error(jobs)?,
        };
        if wanted.no_cache {
            definition
                .jobs
                .iter_mut()
                .for_each(|job| anew(&mut job.spec));
        }
        Ok(NewBuild {
            uuid: self.inner.chance.build_uuid(self.now()),
            project: project.id,
            pipeline: pipeline.id,
            sha: wanted.sha,
            git_ref,
            ref_is_tag: wanted.ref_is_tag,
            created_by: wanted.created_by,
            variables: None,
            trigger: None,
            definition,
            package: None,
            pull_login: None,
            handed: Handed {
                error,
                ..Handed::default()
            },
        })
    }

    /// Lets runners know of a build that was just made.
    pub(crate) async fn announce_build(
        &self,
        project: &Project,
        build: &Build,
        changes: jobs::Changes,
    ) {
        tracing::info!(build.id = %build.uuid, "Build {} of {} is {}", build.uuid, project.path(), build.state);
        self.publish(changes).await;
        self.learn_commit(build.project, build.sha.clone(), build.git_ref.clone());
    }

    /// The commit that a branch points to, by whoever keeps the repository.
    async fn head_of(&self, project: &Project, branch: &GitRef) -> Result<CommitSha, RequestError> {
        let upstream = |why: String| RequestError::Upstream {
            repository: project.path(),
            why,
        };
        let github = self.inner.settings.github.as_ref();
        let on_github =
            github.and_then(|github| Some((github, github.repository(&project.repo_url)?)));
        let head = match on_github {
            Some((github, repository)) => github
                .branch_head(&repository, branch)
                .await
                .map_err(|error| upstream(error.to_string()))?,
            None => {
                let told = |error: GitError| upstream(error.to_string());
                let url: RemoteUrl = project.repo_url.parse().map_err(told)?;
                let url = self.with_deploy_key(project, url).await?;
                let wanted = WantedRef::Ref(branch);
                let found = self.inner.git.resolve(&url, wanted).await.map_err(told)?;
                // A tag of that name is no branch.
                found.filter(|found| !found.is_tag).map(|found| found.sha)
            }
        };
        head.ok_or_else(|| RequestError::NoSuchBranch {
            repository: project.path(),
            branch: branch.clone(),
        })
    }

    /// A build, by its UUID or its commit, for an actor that may look at it.
    ///
    /// # Errors
    /// `NotFound` when there is none that the actor may see.
    pub async fn find_build(
        &self,
        actor: &Actor,
        identity: &BuildIdentity,
    ) -> Result<(Project, Build), FarmError> {
        let found = match identity {
            BuildIdentity::Uuid(uuid) => {
                let (access, build) = self
                    .build(actor, BuildUuid(*uuid), Role::Reader)
                    .await
                    .map_err(unseen)?;
                (access.project().clone(), build)
            }
            BuildIdentity::Commit(commit) => {
                let project = self.project_to_read(actor, &commit.project).await?;
                let (id, sha) = (project.id, commit.sha.clone());
                let find = move |conn: &mut Conn| by_commit::newest(conn, id, &sha);
                (project, self.inner.store.read(find).await?)
            }
        };
        Ok(found)
    }

    /// A build that everybody may look at.
    ///
    /// # Errors
    /// `BadToken` when there is no such build, or who is asking has to say who it is.
    pub async fn find_public_build(
        &self,
        identity: &BuildIdentity,
    ) -> Result<(Project, Build), FarmError> {
        let identity = identity.clone();
        let find = move |conn: &mut Conn| match identity {
            BuildIdentity::Uuid(uuid) => {
                let build = builds::by_uuid(conn, BuildUuid(uuid))?;
                Ok((projects::get(conn, build.project)?, build))
            }
            BuildIdentity::Commit(commit) => {
                let path = commit.project;
                let project = projects::by_path(conn, &path.namespace, &path.name)?;
                let build = by_commit::newest(conn, project.id, &commit.sha)?;
                Ok((project, build))
            }
        };
        match self.inner.store.read(find).await {
            Ok((project, build)) if is_open(&project) => Ok((project, build)),
            Ok(_) | Err(StoreError::NotFound(_)) => Err(FarmError::BadToken),
            Err(other) => Err(other.into()),
        }
    }

    /// An image, by its own id, its build's, or its commit, for an actor that may look at it.
    ///
    /// # Errors
    /// `NotFound` when there is none yet, or none that the actor may see, or it was not pushed.
    pub async fn find_image(
        &self,
        actor: &Actor,
        identity: &BuildIdentity,
    ) -> Result<FoundImage, FarmError> {
        let (build, image) = match identity {
            BuildIdentity::Uuid(uuid) => match self.artifact_of(*uuid) {
                Some(id) => self.image_by_id(actor, id).await?,
                None => {
                    let (_, build) = self.find_build(actor, identity).await?;
                    let of = build.clone();
                    let find = move |conn: &mut Conn| by_commit::image_of(conn, &of);
                    (build, self.inner.store.read(find).await?)
                }
            },
            BuildIdentity::Commit(commit) => {
                let project = self.project_to_read(actor, &commit.project).await?;
                let (id, sha) = (project.id, commit.sha.clone());
                let find = move |conn: &mut Conn| by_commit::newest_image(conn, id, &sha);
                self.inner.store.read(find).await?
            }
        };
        let reference = pullable(&image, &build.sha).ok_or(FarmError::NotFound("image"))?;
        Ok(FoundImage {
            id: self.artifact_uuid(image.id),
            reference,
            build: build.uuid,
        })
    }

    async fn image_by_id(
        &self,
        actor: &Actor,
        id: ArtifactId,
    ) -> Result<(Build, Artifact), FarmError> {
        let find = move |conn: &mut Conn| {
            let image = artifacts::get(conn, id)?;
            let build = jobs::get(conn, image.job)?.build;
            Ok((builds::get(conn, build)?, image))
        };
        let (build, image) = self.inner.store.read(find).await?;
        self.readable(actor, build.project).await?;
        Ok((build, image))
    }

    async fn project_to_read(
        &self,
        actor: &Actor,
        path: &ProjectPath,
    ) -> Result<Project, FarmError> {
        let access = self.project(actor, &path.namespace, &path.name, Role::Guest);
        let access = access.await?;
        access.require_builds(Role::Reader).map_err(unseen)?;
        Ok(access.project().clone())
    }

    async fn readable(&self, actor: &Actor, project: ProjectId) -> Result<(), FarmError> {
        let access = self.project_by_id(actor, project, Role::Guest).await?;
        access.require_builds(Role::Reader).map_err(unseen)
    }

    /// The UUID of an artifact: version 8, the artifact's number in its lower half, and in its
    /// upper half what only the farm's key can tell for that number.
    ///
    /// Artifacts have numbers and need no second name in the database: this one is looked up by
    /// reading the number back, and nobody can make one up for an artifact that was not shown to
    /// them. It stays as long as the farm's key does.
    pub(crate) fn artifact_uuid(&self, id: ArtifactId) -> Uuid {
        let mark = self.derived(&format!("artifact {id}"));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&mark[..8]);
        bytes[8..].copy_from_slice(&id.0.to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The artifact that a UUID names, if it is one of [`Farm::artifact_uuid`].
    fn artifact_of(&self, uuid: Uuid) -> Option<ArtifactId> {
        let (_, lower) = uuid.as_u64_pair();
        // The two bits above the number say which kind of UUID it is.
        let id = ArtifactId(i64::try_from(lower & (u64::MAX >> 2)).ok()?);
        (self.artifact_uuid(id) == uuid).then_some(id)
    }
}

/// Whether everybody sees the builds of a project.
fn is_open(project: &Project) -> bool {
    project.visibility == Visibility::Public && project.public_builds && project.builds_enabled
}

/// What may not be looked at is not there.
fn unseen(error: FarmError) -> FarmError {
    match error {
        FarmError::Forbidden(_) => FarmError::NotFound("build"),
        other => other,
    }
}

/// Has an image built without anything of an earlier one.
fn anew(spec: &mut JobSpec) {
    if let JobSpec::ImageBuild(image) = spec {
        image.no_cache = true;
        (image.cache_tag, image.fallback_cache_tag) = (None, None);
    }
}

/// What an image can be pulled by: under the tag that is its commit, where it has that one.
fn pullable(image: &Artifact, sha: &CommitSha) -> Option<String> {
    let Content::Image {
        reference, tags, ..
    } = &image.content
    else {
        return None;
    };
    let (repository, tag) = reference.rsplit_once(':')?;
    // What was not pushed is known by its digest alone.
    if !repository.contains('/') {
        return None;
    }
    let by_sha = tags.iter().any(|tag| tag == sha.as_str());
    Some(match by_sha {
        true => format!("{repository}:{sha}"),
        false => format!("{repository}:{tag}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_domain::JobId;

    #[test]
    fn an_image_is_pulled_by_its_commit_and_not_at_all_when_it_was_not_pushed() {
        let sha: CommitSha = "a".repeat(40).parse().unwrap();
        let image = |reference: &str, tags: &[&str]| Artifact {
            id: ArtifactId(1),
            job: JobId(1),
            content: Content::Image {
                reference: reference.to_owned(),
                digest: "sha256:1".to_owned(),
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                details: Default::default(),
            },
            size_bytes: 1,
            created_at: chrono::DateTime::UNIX_EPOCH,
            expires_at: None,
        };
        let pulled = |image: &Artifact| pullable(image, &sha);
        let tagged = image("r.example:5000/acme/api:main", &["main", sha.as_str()]);
        let expected = format!("r.example:5000/acme/api:{sha}");
        assert_eq!(pulled(&tagged), Some(expected));
        let other = image("r.example/acme/api:v1", &["v1"]);
        assert_eq!(pulled(&other), Some("r.example/acme/api:v1".to_owned()));
        assert_eq!(pulled(&image("sha256:1", &[])), None);
    }
}
