//! A runner as callers see it, and as its row is.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::queue::{Capabilities, RunnerScope, RunnerView};
use slipway_domain::{FeatureSet, Platform, ProjectId, RunnerId, TagSet};

use crate::engine::time::{from_ms, from_opt_ms};
use crate::error::StoreError;

/// How long a runner counts as online after it was heard of.
const ONLINE_FOR: TimeDelta = TimeDelta::minutes(2);

/// A registered runner.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Its id.
    pub id: RunnerId,
    /// Free text.
    pub description: String,
    /// What it can take.
    pub capabilities: Capabilities,
    /// Whether it serves only projects it is enabled for.
    pub locked: bool,
    /// Whether it is kept from claiming.
    pub paused: bool,
    /// Whether it beats apart from its output, so that its lease can be short.
    pub heartbeat: bool,
    /// What it said of itself.
    pub about: About,
    /// When it registered.
    pub created_at: DateTime<Utc>,
    /// When it was last heard of.
    pub contact_at: Option<DateTime<Utc>>,
    /// When it was removed.
    pub removed_at: Option<DateTime<Utc>>,
    /// Counts the changes of what it can take.
    pub rev: i64,
}

impl Runner {
    /// Whether it was heard of lately.
    pub fn is_online(&self, now: DateTime<Utc>) -> bool {
        self.contact_at.is_some_and(|at| now - at < ONLINE_FOR)
    }

    /// What counts of it when somebody looks at who could take a job.
    pub fn view(self, now: DateTime<Utc>) -> RunnerView {
        RunnerView {
            paused: self.paused,
            online: self.is_online(now),
            capabilities: self.capabilities,
        }
    }

    /// The same, as that of its processes which says `about` of itself.
    #[must_use]
    pub fn saying(mut self, about: &About, heartbeat: bool) -> Self {
        self.capabilities.features = about.features(heartbeat);
        self.about = about.clone();
        self.heartbeat = heartbeat;
        self
    }
}

/// What a runner says of itself.
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
    /// The processor.
    pub architecture: Option<String>,
    /// How it runs jobs.
    pub executor: Option<String>,
    /// What it builds images for besides its own processor.
    pub platforms: Vec<Platform>,
    /// Whether it leaves images as archives.
    pub image_archives: bool,
}

impl About {
    /// What it builds images for.
    fn builds_for(&self) -> impl Iterator<Item = Platform> {
        let own = self.architecture.as_deref().and_then(Platform::linux);
        own.into_iter().chain(self.platforms.iter().cloned())
    }

    /// What a runner that says this of itself can do.
    pub(super) fn features(&self, heartbeat: bool) -> FeatureSet {
        // Only our own runners know more than what stands in commands.
        let own = match heartbeat {
            true => FeatureSet::default().with_packages().with_specs(),
            false => FeatureSet::default(),
        };
        let own = match heartbeat && self.image_archives {
            true => own.with_archives(),
            false => own,
        };
        self.builds_for()
            .fold(own, |set, platform| set.with_platform(&platform))
    }

    /// The column of what it builds images for.
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
