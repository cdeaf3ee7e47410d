//! Parameters in the paths of routes.

use serde::Deserialize;
use slipway_domain::{ArtifactId, BuildUuid, JobId, Name, RunnerId, Slug, TokenId, TriggerId};
use utoipa::IntoParams;

use super::parse::parse_text;
use super::schemas;

/// Declares the parameters of a path: each is parsed into its type and documented as another one.
macro_rules! path {
    ($(#[$doc:meta])* $path:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty as $shown:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize, IntoParams)]
        #[into_params(parameter_in = Path)]
        pub(crate) struct $path {
            $(
                $(#[$fdoc])*
                #[serde(deserialize_with = "parse_text")]
                #[param(value_type = $shown)]
                pub(crate) $field: $type,
            )*
        }
    };
}

path!(
    /// A user.
    UserPath {
        /// The name of the user.
        user: Name as schemas::NameText,
    }
);
path!(
    /// A personal access token or a registration token.
    TokenPath {
        /// The id of the token (not its secret).
        id: TokenId as i64,
    }
);
path!(
    /// A namespace.
    NamespacePath {
        /// The name of the namespace.
        ns: Name as schemas::NameText,
    }
);
path!(
    /// A member of a namespace.
    NamespaceMemberPath {
        /// The name of the namespace.
        ns: Name as schemas::NameText,
        /// The name of the user.
        user: Name as schemas::NameText,
    }
);
path!(
    /// A registry credential of a namespace.
    CredentialPath {
        /// The name of the namespace.
        ns: Name as schemas::NameText,
        /// The host of the registry, with its port if it has one.
        registry: String as schemas::RegistryText,
    }
);
path!(
    /// A robot of a namespace.
    RobotPath {
        /// The name of the namespace.
        ns: Name as schemas::NameText,
        /// The name of the robot.
        robot: Name as schemas::NameText,
    }
);
path!(
    /// A project.
    ProjectPath {
        /// The name of the namespace.
        ns: Name as schemas::NameText,
        /// The name of the project.
        name: Name as schemas::NameText,
    }
);
path!(
    /// A member of a project.
    ProjectMemberPath {
        /// The name of the namespace.
        ns: Name as schemas::NameText,
        /// The name of the project.
        name: Name as schemas::NameText,
        /// The name of the user.
        user: Name as schemas::NameText,
    }
);
path!(
    /// A trigger of a project.
    TriggerPath {
        /// The name of the namespace.
        ns: Name as schemas::NameText,
        /// The name of the project.
        name: Name as schemas::NameText,
        /// The id of the trigger (not its token).
        id: TriggerId as i64,
    }
);
path!(
    /// A runner that serves a project.
    ProjectRunnerPath {
        /// The name of the namespace.
        ns: Name as schemas::NameText,
        /// The name of the project.
        name: Name as schemas::NameText,
        /// The id of the runner.
        id: RunnerId as i64,
    }
);
path!(
    /// A variable of a project.
    VariablePath {
        /// The name of the namespace.
        ns: Name as schemas::NameText,
        /// The name of the project.
        name: Name as schemas::NameText,
        /// The name of the variable.
        key: String as schemas::VariableText,
    }
);
path!(
    /// A pipeline of a project.
    PipelinePath {
        /// The name of the namespace.
        ns: Name as schemas::NameText,
        /// The name of the project.
        name: Name as schemas::NameText,
        /// The slug of the pipeline.
        slug: Slug as schemas::SlugText,
    }
);
path!(
    /// A build.
    BuildPath {
        /// The id of the build.
        uuid: BuildUuid as uuid::Uuid,
    }
);
path!(
    /// A job.
    JobPath {
        /// The id of the job.
        id: JobId as i64,
    }
);
path!(
    /// An artifact.
    ArtifactPath {
        /// The id of the artifact.
        id: ArtifactId as i64,
    }
);
path!(
    /// A runner.
    RunnerPath {
        /// The id of the runner.
        id: RunnerId as i64,
    }
);
