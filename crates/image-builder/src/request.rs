//! What a build takes, and what it returns.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use slipway_build_context::FileModes;
use slipway_domain::{ImageBuild, ImageDetails};

use crate::cache_scope::CacheScope;
use crate::engine::credentials::is_hub;

/// One image to build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The id of the job. Everything that the build creates in the engine is labeled with it.
    pub job: String,
    /// The directory of the checkout. No file outside of it is sent to the engine.
    pub checkout: PathBuf,
    /// Which permissions the files of the checkout get in the image.
    pub modes: FileModes,
    pub spec: ImageBuild,
    pub origin: Origin,
    /// Logins for the registries to pull from and push to.
    pub logins: Vec<Login>,
    /// A login for base images only. It takes precedence over the login for the same registry.
    pub pull_login: Option<Login>,
    /// Contains the values of the secrets that the spec names.
    pub variables: Variables,
    /// A directory of the job outside of the checkout.
    pub scratch: PathBuf,
    /// The creation time to write into the image, in seconds since 1970.
    pub source_date: Option<u32>,
    /// Only builds of this scope share the cache with this one. `None` shares it with all builds
    /// that have none.
    pub cache_scope: Option<CacheScope>,
}

/// The variables of a job by name. `Debug` does not print their values.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where a checkout came from, for the standard OCI labels of its image.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The URL of the repository, without credentials.
    pub source: Option<String>,
    /// The id of the commit.
    pub revision: Option<String>,
    /// When the build started.
    pub created: DateTime<Utc>,
}

/// The credentials for one registry. `Debug` prints only the registry.
#[derive(Clone)]
pub struct Login {
    /// The host of the registry, with its port if it has one.
    pub registry: String,
    pub username: String,
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.registry)
    }
}

impl BuildRequest {
    /// The latest modification time that a file of the context may have in the build.
    pub(crate) fn latest_change(&self) -> Option<SystemTime> {
        let seconds = self.source_date.map(u64::from);
        seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// The login for pulling an image from `registry`.
    pub(crate) fn login_to_pull(&self, registry: &str) -> Option<&Login> {
        let logins = self.pull_login.iter().chain(&self.logins);
        let is_for = |login: &&Login| {
            login.registry == registry || (is_hub(&login.registry) && is_hub(registry))
        };
        logins.into_iter().find(is_for)
    }

    /// The logins for pulling base images.
    pub(crate) fn logins_to_pull(&self) -> Vec<Login> {
        // The last of two logins for a registry is used, so the login for base images comes last.
        self.logins
            .iter()
            .chain(&self.pull_login)
            .cloned()
            .collect()
    }
}

/// An image that was built, and pushed if its spec says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltImage {
    /// The pushed image with its first tag; `None` if nothing was pushed.
    pub reference: Option<String>,
    /// The tags that were pushed.
    pub tags: Vec<String>,
    /// The digest of the pushed manifest, or of the image's configuration if nothing was pushed.
    pub digest: String,
    /// The unpacked size of all layers, in bytes, as the engine reports it; 0 if it does not.
    pub size_bytes: u64,
    pub details: ImageDetails,
    /// The base images that BuildKit used. The classic builder reports none.
    pub bases: Vec<ResolvedBase>,
}

/// A base image as the builder resolved its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedBase {
    /// The full name with its registry, and with its tag if it has one.
    pub name: String,
    /// The digest of its manifest, or of the index of manifests that the name refers to.
    pub digest: String,
}
