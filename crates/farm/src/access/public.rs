//! What callers without a token may see.

use slipway_domain::{BuildUuid, Name, Role, Visibility};
use slipway_store::Conn;
use slipway_store::builds::{self, Build};
use slipway_store::projects::{self, Project};

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;

impl Farm {
    /// Gives a caller without a token access to a public project.
    ///
    /// # Errors
    /// `NotFound` when there is no such public project.
    pub async fn public_project(
        &self,
        namespace: &Name,
        name: &Name,
    ) -> Result<ProjectAccess, FarmError> {
        let (namespace, name) = (namespace.clone(), name.clone());
        let find = move |conn: &mut Conn| projects::by_path(conn, &namespace, &name);
        public_access(self.read(find).await?)
    }

    /// [`Farm::public_project`], for the project of a build.
    ///
    /// # Errors
    /// As [`Farm::public_project`].
    pub async fn public_build(&self, uuid: BuildUuid) -> Result<(ProjectAccess, Build), FarmError> {
        let find = move |conn: &mut Conn| {
            let build = builds::by_uuid(conn, uuid)?;
            Ok((projects::get(conn, build.project)?, build))
        };
        let (project, build) = self.read(find).await?;
        Ok((public_access(project)?, build))
    }
}

fn public_access(project: Project) -> Result<ProjectAccess, FarmError> {
    if project.visibility != Visibility::Public {
        return Err(FarmError::NotFound("project"));
    }
    let role = if project.public_builds {
        Role::Reader
    } else {
        Role::Guest
    };
    Ok(ProjectAccess {
        project,
        role,
        member: false,
    })
}
