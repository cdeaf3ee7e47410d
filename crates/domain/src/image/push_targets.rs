//! To which repositories a project may push.

use crate::image::reference::Repository;
use crate::names::Invalid;
use crate::pipeline::Definition;
use crate::spec::JobSpec;

/// Repositories to which a project may push, and to all repositories below them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushTargets {
    /// All repositories.
    Any,
    /// These ones.
    Below(Vec<Repository>),
}

/// What the operator of a farm allows every project in addition to its own repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedTargets {
    /// Whether a project may push anywhere.
    pub any: bool,
    pub repositories: Vec<Repository>,
}

impl SharedTargets {
    /// Reads a list of repositories, separated by commas. `*` stands for all.
    ///
    /// # Errors
    /// `Invalid` for a malformed repository.
    pub fn from_list(list: &str) -> Result<Self, Invalid> {
        let mut targets = Self::default();
        for word in list
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            if word == "*" {
                targets.any = true;
            } else {
                targets.repositories.push(word.parse()?);
            }
        }
        Ok(targets)
    }

    /// The targets of a project whose own repository is `own`.
    pub fn with(&self, own: Option<&Repository>) -> PushTargets {
        if self.any {
            return PushTargets::Any;
        }
        let all = own.into_iter().chain(&self.repositories);
        PushTargets::Below(all.cloned().collect())
    }
}

impl PushTargets {
    /// Whether the project may push to `repository`.
    pub fn allows(&self, repository: &Repository) -> bool {
        match self {
            Self::Any => true,
            Self::Below(own) => own.iter().any(|own| repository.is_in(own)),
        }
    }

    /// Checks every place that the jobs of a definition push to.
    ///
    /// # Errors
    /// `Invalid` for the first one that is not allowed.
    pub fn check(&self, definition: &Definition) -> Result<(), Invalid> {
        let mut places = definition.jobs.iter().flat_map(|job| places_of(&job.spec));
        match places.find(|place| !self.allows(place)) {
            Some(place) => Err(Invalid::new(
                "image repository",
                place.as_str(),
                self.expected(),
            )),
            None => Ok(()),
        }
    }

    fn expected(&self) -> &'static str {
        match self {
            Self::Below(own) if own.is_empty() => {
                "no repository, as the project has none of its own; set its image repository"
            }
            _ => {
                "the project's own repository or one below it; others must be allowed by the \
                 operator of the farm with --allow-push-to"
            }
        }
    }
}

/// The repositories that a job pushes to.
pub fn places_of(spec: &JobSpec) -> Vec<Repository> {
    match spec {
        JobSpec::ImageBuild(image) => {
            let cache = image.cache_to.as_deref();
            let cache = cache.and_then(Repository::split_tagged);
            let cache = cache.map(|(repository, _)| repository);
            // Without tags, nothing is pushed to the repository itself.
            image.repository.clone().into_iter().chain(cache).collect()
        }
        JobSpec::ImageIndex(index) => index.repository.clone().into_iter().collect(),
        JobSpec::Script(script) => {
            let target = script.snapshot_target().ok().flatten();
            target
                .map(|(repository, _)| repository)
                .into_iter()
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ImageBuild;

    fn repository(text: &str) -> Repository {
        text.parse().unwrap()
    }

    #[test]
    fn a_project_pushes_only_below_its_own_repository() {
        let own = repository("r.example/acme/api");
        let targets = SharedTargets::default().with(Some(&own));
        for (place, is_allowed) in [
            ("r.example/acme/api", true),
            ("r.example/acme/api/web", true),
            ("r.example/acme/api2", false),
            ("r.example/acme/web", false),
            ("r.example:443/acme/api", false),
            ("other.example/acme/api", false),
        ] {
            assert_eq!(targets.allows(&repository(place)), is_allowed, "{place}");
        }
        let nowhere = SharedTargets::default().with(None);
        assert!(!nowhere.allows(&own));
        let shared = SharedTargets::from_list("r.example/shared, s.example/x").unwrap();
        assert!(shared.with(None).allows(&repository("r.example/shared/a")));
        let any = SharedTargets::from_list("*").unwrap();
        assert!(any.with(None).allows(&own));
        assert!(SharedTargets::from_list("acme").is_err());
    }

    #[test]
    fn images_and_caches_count_as_places() {
        let targets = SharedTargets::default().with(Some(&repository("r.example/acme/api")));
        let check = |image: ImageBuild| {
            let mut definition = Definition::single_image();
            for job in &mut definition.jobs {
                job.spec = JobSpec::ImageBuild(Box::new(image.clone()));
            }
            targets
                .check(&definition)
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(ImageBuild::default()), Ok(()));
        let elsewhere = ImageBuild {
            repository: Some(repository("r.example/acme/web")),
            ..ImageBuild::default()
        };
        let error = check(elsewhere).unwrap_err();
        assert!(error.contains("r.example/acme/web"), "{error}");
        assert!(error.contains("--allow-push-to"), "{error}");
        let cache = ImageBuild {
            cache_to: Some("r.example/acme/web:cache".to_owned()),
            ..ImageBuild::default()
        };
        assert!(check(cache).is_err());
    }
}
