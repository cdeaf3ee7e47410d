//! What stands in the paths of routes.

use serde::Deserialize;
use slipway_domain::{ArtifactId, BuildUuid, JobId, Name, RunnerId, Slug, TokenId, TriggerId};
use utoipa::IntoParams;

use crate::parsed::parsed;

macro_rules! path {
    ($(#[$doc:meta])* $path:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty as $shown:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize, IntoParams)]
        #[into_params(parameter_in = Path)]
        pub(crate) struct $path {
            $(
                $(#[$fdoc])*
                #[serde(deserialize_with = "parsed")]
                #[param(value_type = $shown)]
                pub(crate) $field: $type,
            )*
        }
    };
}

path!(
    /// A user.
    UserPath {
        /// The user's name.
        user: Name as String,
    }
);
path!(
    /// A personal access token or a registration token.
    TokenPath {
        /// The token's id, not its secret.
        id: TokenId as i64,
    }
);
path!(
    /// A namespace.
    NamespacePath {
        /// The namespace's name.
        ns: Name as String,
    }
);
path!(
    /// A member of a namespace.
    NamespaceMemberPath {
        /// The namespace's name.
        ns: Name as String,
        /// The user's name.
        user: Name as String,
    }
);
path!(
    /// A registry credential of a namespace.
    CredentialPath {
        /// The namespace's name.
        ns: Name as String,
        /// The registry's host, with its port.
        registry: String as String,
    }
);
path!(
    /// A robot of a namespace.
    RobotPath {
        /// The namespace's name.
        ns: Name as String,
        /// The robot's name in it.
        robot: Name as String,
    }
);
path!(
    /// A project.
    ProjectPath {
        /// The namespace's name.
        ns: Name as String,
        /// The project's name.
        name: Name as String,
    }
);
path!(
    /// A member of a project.
    ProjectMemberPath {
        /// The namespace's name.
        ns: Name as String,
        /// The project's name.
        name: Name as String,
        /// The user's name.
        user: Name as String,
    }
);
path!(
    /// A trigger of a project.
    TriggerPath {
        /// The namespace's name.
        ns: Name as String,
        /// The project's name.
        name: Name as String,
        /// The trigger's id, not its token.
        id: TriggerId as i64,
    }
);
path!(
    /// A runner as one that serves a project.
    ProjectRunnerPath {
        /// The namespace's name.
        ns: Name as String,
        /// The project's name.
        name: Name as String,
        /// The runner's id.
        id: RunnerId as i64,
    }
);
path!(
    /// A variable of a project.
    VariablePath {
        /// The namespace's name.
        ns: Name as String,
        /// The project's name.
        name: Name as String,
        /// The variable's name.
        key: String as String,
    }
);
path!(
    /// A pipeline of a project.
    PipelinePath {
        /// The namespace's name.
        ns: Name as String,
        /// The project's name.
        name: Name as String,
        /// The pipeline's slug.
        slug: Slug as String,
    }
);
path!(
    /// A build.
    BuildPath {
        /// The build's UUID.
        uuid: BuildUuid as uuid::Uuid,
    }
);
path!(
    /// A job.
    JobPath {
        /// The job's id.
        id: JobId as i64,
    }
);
path!(
    /// An artifact.
    ArtifactPath {
        /// The artifact's id.
        id: ArtifactId as i64,
    }
);
path!(
    /// A runner.
    RunnerPath {
        /// The runner's id.
        id: RunnerId as i64,
    }
);
