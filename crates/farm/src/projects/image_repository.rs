//! The repository of a project's images belongs to that project alone.
//!
//! Logins for registries belong to a namespace, so a registry cannot tell its projects apart. What
//! several projects may push to is the operator's choice.

use slipway_domain::ProjectId;
use slipway_domain::image::Repository;
use slipway_domain::image::push_targets::{PushTargets, SharedTargets};
use slipway_store::{Conn, StoreError, projects};

use crate::error::FarmError;

/// Why a repository is refused.
const TAKEN: &str = "the image repository is the one of another project, or above or below it; the \
                     operator of the farm can share it with --allow-push-to";

/// What decides whether a project may have a repository.
#[derive(Clone, Debug)]
pub(crate) struct RepositoryRule {
    /// The registry of the farm.
    pub(crate) registry: Option<String>,
    pub(crate) shared: SharedTargets,
}

impl RepositoryRule {
    /// Checks that a project of this namespace may choose `repository`.
    ///
    /// # Errors
    /// `Invalid` for a repository at the farm's registry that is not in the namespace: it is, or can
    /// become, the one of a project there.
    pub(crate) fn check_place(
        &self,
        namespace: &str,
        repository: &Repository,
    ) -> Result<(), FarmError> {
        let at_farm = self.registry.as_deref() == Some(repository.registry());
        if !at_farm || self.is_shared(repository) {
            return Ok(());
        }
        let mut parts = repository.as_str().split('/').skip(1);
        let is_own = parts.next() == Some(&*namespace.to_ascii_lowercase());
        if is_own && parts.next().is_some() {
            return Ok(());
        }
        Err(FarmError::Invalid(format!(
            "at the registry of the farm, the image repository must be below {}/{}; the operator of \
             the farm can allow others with --allow-push-to",
            repository.registry(),
            namespace.to_ascii_lowercase(),
        )))
    }

    /// Checks that no other project has `repository`, or one above or below it.
    ///
    /// # Errors
    /// `Conflict` if one has.
    pub(crate) fn check_free(
        &self,
        conn: &mut Conn,
        own: Option<ProjectId>,
        repository: &Repository,
    ) -> Result<(), StoreError> {
        if self.is_shared(repository) {
            return Ok(());
        }
        let others = projects::image_places(conn)?;
        let overlaps = others
            .into_iter()
            .filter(|place| Some(place.project) != own)
            .filter_map(|place| place.repository.or_else(|| self.default_of(&place.path)))
            .any(|other| other.is_in(repository) || repository.is_in(&other));
        if overlaps {
            Err(StoreError::Conflict(TAKEN))
        } else {
            Ok(())
        }
    }

    /// The repository of a project that names none.
    fn default_of(&self, path: &str) -> Option<Repository> {
        let registry = self.registry.as_deref()?;
        let name = format!("{registry}/{}", path.to_ascii_lowercase());
        name.parse().ok()
    }

    fn is_shared(&self, repository: &Repository) -> bool {
        match self.shared.with(None) {
            PushTargets::Any => true,
            shared @ PushTargets::Below(_) => shared.allows(repository),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_registry_of_the_farm_a_repository_is_in_the_own_namespace() {
        let rule = RepositoryRule {
            registry: Some("r.example".to_owned()),
            shared: SharedTargets::from_list("r.example/shared").unwrap(),
        };
        for (text, is_allowed) in [
            ("r.example/acme/web", true),
            ("r.example/acme/web/a", true),
            ("r.example/acme", false),
            ("r.example/other/web", false),
            ("r.example/shared/a", true),
            ("elsewhere.example/other/web", true),
        ] {
            let repository: Repository = text.parse().unwrap();
            let checked = rule.check_place("Acme", &repository);
            assert_eq!(checked.is_ok(), is_allowed, "{text}");
        }
    }
}
