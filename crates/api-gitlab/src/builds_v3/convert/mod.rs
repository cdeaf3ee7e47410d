//! Conversions from the farm's model to the objects of the consumer API v3. Pure functions.

mod builds;
mod projects;
mod runners;
mod users;

pub(crate) use self::builds::{build, commit_details, commit_status, pipeline};
pub(crate) use self::projects::{
    member, namespace, project, role_of_level, trigger, variable, visibility_of_level,
};
pub(crate) use self::runners::runner_details;
pub(crate) use self::users::{current_user, user};
