//! Builds with all that is told of them to those who build packages.

use slipway_domain::{ImageBuild, JobSpec, Role};
use slipway_store::builds::Build;
use slipway_store::jobs::Job;
use slipway_store::people::User;
use slipway_store::{Conn, StoreError, job_lists, jobs};

use crate::access::authorize::ProjectAccess;
use crate::builds::quay::quay_phases::PackagePhase;
use crate::error::FarmError;
use crate::farm::Farm;

/// A build with what is told of it to those who build packages.
#[derive(Clone, Debug)]
pub struct ToldBuild {
    /// The build.
    pub build: Build,
    /// Who asked for it.
    pub user: Option<User>,
    /// The phase it is in.
    pub phase: PackagePhase,
    /// The first image that it makes, as its job has it; `None` when it makes none.
    pub image: Option<ImageBuild>,
}

impl Farm {
    /// The role in which somebody reads logs through a door that leaves that to the farm.
    pub fn log_role(&self) -> Role {
        match self.inner.settings.reader_build_logs {
            true => Role::Reader,
            false => Role::Developer,
        }
    }

    /// Completes builds of a project with what is told of them.
    ///
    /// # Errors
    /// `Forbidden` to those who see the project but not its builds.
    pub async fn told_builds(
        &self,
        access: &ProjectAccess,
        builds: Vec<Build>,
    ) -> Result<Vec<ToldBuild>, FarmError> {
        access.require_builds(Role::Reader)?;
        let (project, now) = (access.id(), self.now());
        let read = move |conn: &mut Conn| {
            let listed = job_lists::complete_builds(conn, project, builds)?;
            let told = listed.into_iter().map(|listed| {
                let jobs = jobs::of_build(conn, listed.build.id)?;
                let phase = PackagePhase::of(&listed.build, &jobs, now);
                let image = first_image(&jobs);
                Ok(ToldBuild {
                    build: listed.build,
                    user: listed.user,
                    phase,
                    image,
                })
            });
            told.collect::<Result<Vec<ToldBuild>, StoreError>>()
        };
        self.read(read).await
    }
}

/// The first image of a build as it was asked for: that of several platforms has the tags of its
/// index.
fn first_image(jobs: &[Job]) -> Option<ImageBuild> {
    let (name, image) = jobs.iter().find_map(|job| match &job.spec {
        JobSpec::ImageBuild(image) => Some((job.name.as_str(), image)),
        JobSpec::Script(_) | JobSpec::ImageIndex(_) => None,
    })?;
    let index = jobs.iter().find_map(|job| match &job.spec {
        JobSpec::ImageIndex(index) => {
            let mut parts = index.images_of.iter();
            parts.any(|part| part.as_str() == name).then_some(index)
        }
        _ => None,
    });
    let mut image = ImageBuild::clone(image);
    if let Some(index) = index {
        image.tags.clone_from(&index.tags);
    }
    Some(image)
}
