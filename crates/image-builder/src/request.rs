//! What a build is given, what it gives back, and whom it tells how it goes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use slipway_domain::base_image::BaseImage;
use slipway_domain::{BuildStep, ImageBuild, ImageDetails, Phase};

/// One image to build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// Names the job on this engine; everything the build leaves there is labelled with it.
    pub job: String,
    /// The checkout. Nothing outside of it is sent to the engine.
    pub checkout: PathBuf,
    /// What to build, and where it goes.
    pub spec: ImageBuild,
    /// Where the checkout came from, for the labels of the image.
    pub origin: Origin,
    /// For the registries that are pulled from and pushed to.
    pub logins: Vec<Login>,
    /// For base images alone, before the login at the same registry.
    pub pull_login: Option<Login>,
    /// Has the values of the secrets that the spec names.
    pub variables: Variables,
    /// A directory of the job that is no part of the checkout.
    pub scratch: PathBuf,
    /// The seconds after the beginning of 1970 that the image says it was made at.
    pub source_date: Option<u32>,
}

/// The variables of a job, by their names. Their values do not show.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The value of one of them.
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

/// What the standard OCI labels of an image say of its source.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The address of the repository, without a login.
    pub source: Option<String>,
    /// The commit.
    pub revision: Option<String>,
    /// When the build began.
    pub created: DateTime<Utc>,
}

/// A login at a registry.
#[derive(Clone)]
pub struct Login {
    /// The registry's host, with its port where it has one.
    pub registry: String,
    /// The login's name.
    pub username: String,
    /// The login's password.
    pub password: String,
}

impl BuildRequest {
    /// The time after which no file of the context is said to have changed.
    pub(crate) fn latest_change(&self) -> Option<SystemTime> {
        let seconds = self.source_date.map(u64::from);
        seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// The login with which an image is pulled from a registry.
    pub(crate) fn login_to_pull(&self, registry: &str) -> Option<&Login> {
        let logins = self.pull_login.iter().chain(&self.logins);
        logins.into_iter().find(|login| login.registry == registry)
    }

    /// The logins with which base images are pulled, one for each registry.
    pub(crate) fn logins_to_pull(&self) -> Vec<Login> {
        // Of two for a registry the last one counts.
        self.logins
            .iter()
            .chain(&self.pull_login)
            .cloned()
            .collect()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.registry)
    }
}

/// An image that was built, and pushed where the spec says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltImage {
    /// What was pushed, by its first tag; `None` when nothing was.
    pub reference: Option<String>,
    /// The tags that were pushed.
    pub tags: Vec<String>,
    /// The digest of the pushed manifest, or of the image's configuration when nothing was pushed.
    pub digest: String,
    /// The unpacked size of its layers, in bytes.
    pub size_bytes: u64,
    /// Its platform and layers.
    pub details: ImageDetails,
}

/// Is told how work goes. Calls come from one job in order, and must not block for long.
pub trait Progress: Send + Sync {
    /// The work has come to `phase`.
    fn phase(&self, phase: Phase);
    /// The work has come to the pulling of base images, of which this one is the first.
    fn base_image(&self, base: &BaseImage);
    /// Waits until the phase that was told last is known where the work can be called off.
    fn heard(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
    /// A step of an image build has ended.
    fn step(&self, _step: &BuildStep) {}
    /// The build begins again: the steps that were told so far count no more.
    fn begins_again(&self) {}
    /// Text for the trace, as it comes.
    fn output(&self, text: &[u8]);
}
