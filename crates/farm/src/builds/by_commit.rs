//! Builds and images that are found by repository and commit, or by their UUID.

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

impl Farm {
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
                (project, self.read(find).await?)
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
        match self.read(find).await {
            Ok((project, build)) if is_open(&project) => Ok((project, build)),
            Ok(_) | Err(FarmError::NotFound(_)) => Err(FarmError::BadToken),
            Err(other) => Err(other),
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
