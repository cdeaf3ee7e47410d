//! A runner and its table row.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::queue::{Capabilities, RunnerScope, RunnerView};
use slipway_domain::{FeatureSet, Platform, ProjectId, RunnerId, TagSet, TrustLevel};

use crate::engine::time::{from_ms, from_opt_ms};
use crate::error::StoreError;

/// How long a runner counts as online after its last contact, and as new after its registration.
const ONLINE_FOR: TimeDelta = TimeDelta::minutes(2);

/// A registered runner.
#[derive(Clone, Debug)]
pub struct Runner {
    pub id: RunnerId,
    pub description: String,
    /// What it can run.
    pub capabilities: Capabilities,
    /// Whether it is locked to the projects that it already serves.
    pub locked: bool,
    /// Whether it may not claim jobs.
    pub paused: bool,
    /// Whether it sends heartbeats apart from its output, so that its lease can be short.
    pub heartbeat: bool,
    /// What it reported about itself.
    pub about: About,
    /// When it registered.
    pub created_at: DateTime<Utc>,
    /// When it last made contact.
    pub contact_at: Option<DateTime<Utc>>,
    /// When it was deleted.
    pub removed_at: Option<DateTime<Utc>>,
    /// Counts the changes of what it can run.
    pub rev: i64,
}

impl Runner {
    /// Whether it made contact recently.
    pub fn is_online(&self, now: DateTime<Utc>) -> bool {
        self.contact_at.is_some_and(|at| now - at < ONLINE_FOR)
    }

    /// What matters about it when the farm explains which runners could run a job.
    pub fn view(self, now: DateTime<Utc>) -> RunnerView {
        RunnerView {
            id: self.id,
            paused: self.paused,
            online: self.is_online(now),
            is_new: self.contact_at.is_none() && now - self.created_at < ONLINE_FOR,
            unready: self.about.unready,
            capabilities: self.capabilities,
        }
    }

    /// The runner as seen through one of its managers, which reported `about`.
    #[must_use]
    pub fn as_manager(mut self, about: &About, heartbeat: bool) -> Self {
        self.capabilities.features = about.features(heartbeat);
        self.about = about.clone();
        self.heartbeat = heartbeat;
        self
    }
}

/// What a runner reports about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The program's name.
    pub name: Option<String>,
    /// The program's version.
    pub version: Option<String>,
    /// The commit it was built from.
    pub revision: Option<String>,
    /// The operating system.
    pub platform: Option<String>,
    /// The processor architecture.
    pub architecture: Option<String>,
    /// How it runs jobs.
    pub executor: Option<String>,
    /// Platforms it builds images for besides its own.
    pub platforms: Vec<Platform>,
    /// Whether it can store images as archives.
    pub image_archives: bool,
    /// Why it claims no jobs at the moment.
    pub unready: Option<String>,
    /// The trust levels that it is dedicated to; empty for all.
    pub trust: Vec<TrustLevel>,
    /// What people should know about it, such as what its engine cannot separate.
    pub notes: Vec<String>,
}

impl About {
    /// All platforms it builds images for.
    fn all_platforms(&self) -> impl Iterator<Item = Platform> {
        let own = self.architecture.as_deref().and_then(Platform::linux);
        own.into_iter().chain(self.platforms.iter().cloned())
    }

    /// Whether it is a stock runner before 1.1, which downloads nothing of other jobs.
    fn lacks_downloads(&self) -> bool {
        let name = self.name.as_deref();
        if name.is_some_and(|name| name != "gitlab-ci-multi-runner") {
            return false;
        }
        let mut parts = self.version.as_deref().unwrap_or_default().split('.');
        let mut number = || parts.next()?.parse::<u32>().ok();
        matches!(
            (number(), number()),
            (Some(0), Some(_)) | (Some(1), Some(0))
        )
    }

    /// What a runner that reports this about itself can do.
    pub(super) fn features(&self, heartbeat: bool) -> FeatureSet {
        // Stock runners run only the job's commands; everything else needs our own runner.
        let mut features = FeatureSet::default();
        if heartbeat {
            features = features.with_packages().with_specs();
            if self.image_archives {
                features = features.with_archives();
            }
        }
        if heartbeat || !self.lacks_downloads() {
            features = features.with_needed_files();
        }
        let features = self
            .trust
            .iter()
            .fold(features, |set, level| set.with_trust(*level));
        self.all_platforms()
            .fold(features, |set, platform| set.with_platform(&platform))
    }

    /// The column value of `trust`.
    pub(super) fn stored_trust(&self) -> Option<String> {
        (!self.trust.is_empty()).then(|| TrustLevel::to_list(&self.trust))
    }

    /// The column value of `notes`, which are lines.
    pub(super) fn stored_notes(&self) -> Option<String> {
        (!self.notes.is_empty()).then(|| self.notes.join("\n"))
    }

    /// The column value of `platforms`.
    pub(super) fn stored_platforms(&self) -> Option<String> {
        let all: Vec<String> = self.platforms.iter().map(Platform::to_string).collect();
        (!all.is_empty()).then(|| all.join(","))
    }
}

#[derive(Queryable)]
pub(super) struct RunnerRow {
    pub(super) id: i64,
    _token_hash: Option<String>,
    description: String,
    tags: String,
    run_untagged: bool,
    locked: bool,
    shared: bool,
    paused: bool,
    heartbeat: bool,
    name: Option<String>,
    version: Option<String>,
    revision: Option<String>,
    platform: Option<String>,
    architecture: Option<String>,
    executor: Option<String>,
    created_at: i64,
    contact_at: Option<i64>,
    removed_at: Option<i64>,
    rev: i64,
    platforms: Option<String>,
    image_archives: bool,
    unready: Option<String>,
    trust: Option<String>,
    notes: Option<String>,
}

impl RunnerRow {
    pub(super) fn into_runner(self, projects: BTreeSet<ProjectId>) -> Result<Runner, StoreError> {
        let scope = if self.shared {
            RunnerScope::Shared
        } else {
            RunnerScope::Projects(projects)
        };
        let platforms = self.platforms.iter().flat_map(|list| list.split(','));
        let about = About {
            name: self.name,
            version: self.version,
            revision: self.revision,
            platform: self.platform,
            architecture: self.architecture,
            executor: self.executor,
            platforms: platforms
                .map(|text| text.parse().map_err(|_| StoreError::Corrupt("platform")))
                .collect::<Result<_, _>>()?,
            image_archives: self.image_archives,
            unready: self.unready,
            trust: TrustLevel::from_list(self.trust.as_deref().unwrap_or_default())
                .map_err(|_| StoreError::Corrupt("trust level"))?,
            notes: self
                .notes
                .iter()
                .flat_map(|all| all.lines())
                .map(str::to_owned)
                .collect(),
        };
        Ok(Runner {
            id: RunnerId(self.id),
            description: self.description,
            capabilities: Capabilities {
                tags: TagSet::from_list(&self.tags).map_err(|_| StoreError::Corrupt("tags"))?,
                run_untagged: self.run_untagged,
                scope,
                features: about.features(self.heartbeat),
            },
            locked: self.locked,
            paused: self.paused,
            heartbeat: self.heartbeat,
            about,
            created_at: from_ms(self.created_at)?,
            contact_at: from_opt_ms(self.contact_at)?,
            removed_at: from_opt_ms(self.removed_at)?,
            rev: self.rev,
        })
    }
}
