//! What keeps the jobs of different projects apart on one host: the scope of their caches, and where
//! they may push.

use clap::ValueEnum;
use slipway_domain::FailureReason;
use slipway_domain::image::push_targets::{PushTargets, places_of};
use slipway_image_builder::CacheScope;
use slipway_protocol::{REGISTRY_PASSWORD_PREFIX, Variable};

use crate::executor::{Failure, Job};

/// Which builds share the engine's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SharedCaches {
    /// Builds of the same project with the same trust level.
    #[default]
    Level,
    /// All builds of the same project.
    Project,
    /// All builds.
    All,
}

/// The builds that share the cache with the job. `None` means all builds.
pub(super) fn cache_scope(job: &Job, shared: SharedCaches) -> Option<CacheScope> {
    let scope = match (shared, &job.own.isolation) {
        (SharedCaches::All, _) => return None,
        (SharedCaches::Level, Some(isolation)) => isolation.trust_scope.clone(),
        (SharedCaches::Project, Some(isolation)) => isolation.project_scope.clone(),
        // Without a value that other projects cannot guess, only the job itself uses its cache.
        (_, None) => format!("{:032x}", rand::random::<u128>()),
    };
    Some(CacheScope::new(scope))
}

/// The variables that the commands and the steps of a job may use.
///
/// Passwords of registries are left out. Stock runners need them for the shell lines that log in, but
/// the logins belong to a namespace, and open the repositories of its other projects.
pub(super) fn variables(job: &Job) -> impl Iterator<Item = &Variable> {
    let all = job.payload.variables.iter();
    all.filter(|variable| !variable.key.starts_with(REGISTRY_PASSWORD_PREFIX))
}

/// Refuses a job that would push to a repository that is not its project's. The coordinator refuses
/// such builds too, but not those from before it knew the rule.
pub(super) fn check_push(job: &Job) -> Result<(), Failure> {
    let isolation = job.own.isolation.as_ref();
    let Some(allowed) = isolation.and_then(|isolation| isolation.push_to.clone()) else {
        return Ok(());
    };
    let targets = PushTargets::Below(allowed);
    let places = places_of(&job.own.spec);
    match places.iter().find(|place| !targets.allows(place)) {
        Some(place) => Err(Failure {
            reason: FailureReason::PushRefused,
            message: format!(
                "the job would push to {}, which is neither the project's own repository nor below \
                 it; the operator of the farm can allow it with --allow-push-to",
                place.as_str()
            ),
        }),
        None => Ok(()),
    }
}
