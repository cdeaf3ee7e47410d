//! Finds builds and images by repository and commit, or by UUID.

use slipway_domain::{
    ArtifactId, BuildUuid, CommitName, CommitSha, ProjectId, ProjectPath, Role, Visibility,
};
use slipway_store::artifacts::{self, Artifact, Content};
use slipway_store::builds::{self, Build};
use slipway_store::projects::{self, Project};
use slipway_store::{Conn, by_commit, jobs};
use uuid::Uuid;

use crate::access::authorize::Actor;
use crate::error::FarmError;
use crate::farm::Farm;

/// How a caller names a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildIdentity {
    /// The UUID of the build or, where an image is wanted, of the image.
    Uuid(Uuid),
    /// The newest build of a commit.
    Commit(CommitName),
}

/// An image that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundImage {
    pub id: Uuid,
    /// The reference to pull the image by.
    pub reference: String,
    pub build: BuildUuid,
}

impl Farm {
    /// A build by UUID or commit, for an actor that may see it.
    ///
    /// # Errors
    /// `NotFound` when there is no such build that the actor may see.
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
                    .map_err(hidden)?;
                (access.project().clone(), build)
            }
            BuildIdentity::Commit(commit) => {
                let project = self.project_to_read(actor, &commit.project).await?;
                let (id, sha) = (project.id, commit.sha.clone());
                let find = move |conn: &mut Conn| by_commit::newest(conn, id, &sha);
                (project, self.read(find).await?)
            }
        };
        Ok(found)
    }

    /// A build by UUID or commit, for callers without a token.
    ///
    /// # Errors
    /// `BadToken` when there is no such build that everybody may see.
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
        match self.read(find).await {
            Ok((project, build)) if is_open(&project) => Ok((project, build)),
            Ok(_) | Err(FarmError::NotFound(_)) => Err(FarmError::BadToken),
            Err(other) => Err(other),
        }
    }

    /// An image by its UUID, the UUID of its build, or its commit, for an actor that may see it.
    ///
    /// # Errors
    /// `NotFound` when there is no such image that the actor may see, or it was not pushed.
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
                    (build, self.read(find).await?)
                }
            },
            BuildIdentity::Commit(commit) => {
                let project = self.project_to_read(actor, &commit.project).await?;
                let (id, sha) = (project.id, commit.sha.clone());
                let find = move |conn: &mut Conn| by_commit::newest_image(conn, id, &sha);
                self.read(find).await?
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
        let (build, image) = self.read(find).await?;
        self.readable(actor, build.project).await?;
        Ok((build, image))
    }

    async fn project_to_read(
        &self,
        actor: &Actor,
        path: &ProjectPath,
    ) -> Result<Project, FarmError> {
        // As a guest first: who cannot see the builds gets the same answer as for a missing build.
        let access = self.project(actor, &path.namespace, &path.name, Role::Guest);
        let access = access.await?;
        access.require_builds(Role::Reader).map_err(hidden)?;
        Ok(access.project().clone())
    }

    async fn readable(&self, actor: &Actor, project: ProjectId) -> Result<(), FarmError> {
        let access = self.project_by_id(actor, project, Role::Guest).await?;
        access.require_builds(Role::Reader).map_err(hidden)
    }

    /// The UUID of an artifact: version 8, with the id of the artifact in the lower half and a value
    /// derived from the seal key and the id in the upper half.
    ///
    /// The id is read back from the UUID, so the database needs no second id for artifacts, and
    /// nobody can guess the UUID of an artifact. It changes only with the seal key.
    pub(crate) fn artifact_uuid(&self, id: ArtifactId) -> Uuid {
        let mark = self.derived(&format!("artifact {id}"));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&mark[..8]);
        bytes[8..].copy_from_slice(&id.0.to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The artifact with this UUID, if it is one of [`Farm::artifact_uuid`].
    fn artifact_of(&self, uuid: Uuid) -> Option<ArtifactId> {
        let (_, lower) = uuid.as_u64_pair();
        // The two highest bits of the lower half hold the variant of the UUID.
        let id = ArtifactId(i64::try_from(lower & (u64::MAX >> 2)).ok()?);
        (self.artifact_uuid(id) == uuid).then_some(id)
    }
}

/// Whether everybody may see the builds of a project.
fn is_open(project: &Project) -> bool {
    project.visibility == Visibility::Public && project.public_builds && project.builds_enabled
}

/// Hides that a build exists from actors that may not see it.
fn hidden(error: FarmError) -> FarmError {
    match error {
        FarmError::Forbidden(_) => FarmError::NotFound("build"),
        other => other,
    }
}

/// The reference to pull an image by, with the commit as tag if the image has that tag.
fn pullable(image: &Artifact, sha: &CommitSha) -> Option<String> {
    let Content::Image {
        reference, tags, ..
    } = &image.content
    else {
        return None;
    };
    let (repository, tag) = reference.rsplit_once(':')?;
    // An image that was not pushed has its digest as reference.
    if !repository.contains('/') {
        return None;
    }
    let by_sha = tags.iter().any(|tag| tag == sha.as_str());
    Some(if by_sha {
        format!("{repository}:{sha}")
    } else {
        format!("{repository}:{tag}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_domain::JobId;

    #[test]
    fn an_image_is_pulled_by_its_commit_tag_and_only_if_it_was_pushed() {
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
