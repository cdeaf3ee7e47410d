//! What those see of whom nothing is known.

use slipway_domain::{BuildUuid, Name, Role, Visibility};
use slipway_store::Conn;
use slipway_store::builds::{self, Build};
use slipway_store::projects::{self, Project};

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;

impl Farm {
    /// Lets somebody without a token look at a project that is public, builds included.
    ///
    /// # Errors
    /// `NotFound` when there is none that everybody may see.
    pub async fn public_project(
        &self,
        namespace: &Name,
        name: &Name,
    ) -> Result<ProjectAccess, FarmError> {
        let (namespace, name) = (namespace.clone(), name.clone());
        let find = move |conn: &mut Conn| projects::by_path(conn, &namespace, &name);
        of_everybody(self.read(find).await?)
    }

    /// The same for a build of such a project.
    ///
    /// # Errors
    /// As [`Farm::public_project`].
    pub async fn public_build(&self, uuid: BuildUuid) -> Result<(ProjectAccess, Build), FarmError> {
        let find = move |conn: &mut Conn| {
            let build = builds::by_uuid(conn, uuid)?;
            Ok((projects::get(conn, build.project)?, build))
        };
        let (project, build) = self.read(find).await?;
        Ok((of_everybody(project)?, build))
    }
}

fn of_everybody(project: Project) -> Result<ProjectAccess, FarmError> {
    if project.visibility != Visibility::Public {
        return Err(FarmError::NotFound("project"));
    }
    let role = match project.public_builds {
        true => Role::Reader,
        false => Role::Guest,
    };
    Ok(ProjectAccess {
        project,
        role,
        member: false,
    })
}
