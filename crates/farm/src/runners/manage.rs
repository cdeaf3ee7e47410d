//! Registers, finds, changes and deletes runners.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use slipway_domain::access::Action;
use slipway_domain::names::check_line;
use slipway_domain::queue::{Capabilities, RunnerScope};
use slipway_domain::{
    FeatureSet, ProjectId, RegistrationToken, Role, RunnerId, RunnerToken, TagSet, TokenHash,
};
use slipway_store::runners::{About, NewRunner, Runner, Update};
use slipway_store::{Conn, Page, StoreError, jobs, projects, registration, runners};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;

/// The shortest time between two notes of contact with a runner.
pub(crate) const CONTACT_EVERY: TimeDelta = TimeDelta::seconds(30);

/// A runner to register.
#[derive(Clone, Debug, Default)]
pub struct RunnerRequest {
    pub description: String,
    pub tags: TagSet,
    /// Whether it runs jobs without tags.
    pub run_untagged: bool,
    /// Whether no further projects can be added to it.
    pub locked: bool,
    /// Whether it sends heartbeats apart from its output.
    pub heartbeat: bool,
    /// Whether it is paused from the start.
    pub paused: bool,
    /// What the program reports about itself.
    pub about: About,
}

impl RunnerRequest {
    fn can_never_claim(&self) -> bool {
        self.tags.is_empty() && !self.run_untagged
    }

    /// The row of a runner of one project, or of a shared one.
    fn row(&self, project: Option<ProjectId>, token: TokenHash) -> NewRunner {
        let scope = match project {
            None => RunnerScope::Shared,
            Some(project) => RunnerScope::Projects(BTreeSet::from([project])),
        };
        NewRunner {
            token,
            description: self.description.clone(),
            capabilities: Capabilities {
                tags: self.tags.clone(),
                run_untagged: self.run_untagged,
                // The store derives them from what the runner reports about itself.
                features: FeatureSet::default(),
                scope,
            },
            locked: self.locked,
            heartbeat: self.heartbeat,
            paused: self.paused,
            about: self.about.clone(),
        }
    }
}

impl Farm {
    /// Registers a runner. Its token is returned only this once.
    ///
    /// # Errors
    /// `BadToken` for an invalid registration token; `Invalid` for invalid texts; `IdleForEver` for a
    /// runner that could never claim a job.
    pub async fn register_runner(
        &self,
        token: &RegistrationToken,
        request: RunnerRequest,
    ) -> Result<(Runner, RunnerToken), FarmError> {
        check_line("runner description", &request.description)?;
        check_about(&request.about)?;
        let now = self.now();
        let plain = RunnerToken::from_entropy(self.inner.chance.bytes());
        let (hash, runner_hash) = (token.hash(), plain.hash());
        let (farm, token) = (self.clone(), token.clone());
        let runner = self
            .write_exactly(move |conn| {
                // The derived token of a project has no row. It is compared in the transaction, so
                // that it registers nobody after a reset.
                let named = token.project().map(|id| projects::get(conn, id));
                let project = match named {
                    Some(Ok(project)) if farm.is_runners_token(&token, &project) => {
                        Some(project.id)
                    }
                    Some(Ok(_)) | Some(Err(StoreError::NotFound(_))) | None => {
                        registration::redeem(conn, hash, now)?.project
                    }
                    Some(Err(error)) => return Err(error),
                };
                if request.can_never_claim() {
                    return Err(StoreError::Conflict(IDLE_FOR_EVER));
                }
                runners::insert(conn, &request.row(project, runner_hash), now)
            })
            .await
            .map_err(|error| match error {
                StoreError::NotFound(_) => FarmError::BadToken,
                StoreError::Conflict(IDLE_FOR_EVER) => FarmError::IdleForEver,
                other => other.into(),
            })?;
        tracing::info!(runner.id = %runner.id, "Registered runner {}", runner.id);
        Ok((runner, plain))
    }

    /// Creates a shared runner in advance and returns the token to configure the program with.
    /// Requires an administrator.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` and `IdleForEver` as for [`Farm::register_runner`].
    pub async fn create_shared_runner(
        &self,
        actor: &Actor,
        request: RunnerRequest,
    ) -> Result<(Runner, RunnerToken), FarmError> {
        self.admin(actor)?;
        self.create_runner(None, request).await
    }

    /// [`Farm::create_shared_runner`] for a runner of one project. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` and `IdleForEver` as for [`Farm::register_runner`].
    pub async fn create_project_runner(
        &self,
        access: &ProjectAccess,
        request: RunnerRequest,
    ) -> Result<(Runner, RunnerToken), FarmError> {
        access.require(Role::Maintainer)?;
        self.create_runner(Some(access.id()), request).await
    }

    async fn create_runner(
        &self,
        project: Option<ProjectId>,
        request: RunnerRequest,
    ) -> Result<(Runner, RunnerToken), FarmError> {
        check_line("runner description", &request.description)?;
        if request.can_never_claim() {
            return Err(FarmError::IdleForEver);
        }
        let now = self.now();
        let plain = RunnerToken::precreated(self.inner.chance.bytes());
        let new = request.row(project, plain.hash());
        let insert = move |conn: &mut Conn| runners::insert(conn, &new, now);
        let runner = self.write(insert).await?;
        tracing::info!(runner.id = %runner.id, "Created runner {}", runner.id);
        Ok((runner, plain))
    }

    /// The runner that a token belongs to.
    ///
    /// # Errors
    /// `BadToken` when no runner has it.
    pub async fn runner_by_token(&self, token: &RunnerToken) -> Result<Runner, FarmError> {
        let hash = token.hash();
        self.read(move |conn| runners::by_token(conn, hash))
            .await
            .map_err(|error| match error {
                FarmError::NotFound(_) => FarmError::BadToken,
                other => other,
            })
    }

    /// Notes contact with a runner and what it reports about itself. Writes only when the report
    /// changed or the last note is old.
    ///
    /// # Errors
    /// `Invalid` for invalid texts.
    pub async fn record_contact(
        &self,
        runner: &Runner,
        about: Option<(About, bool)>,
    ) -> Result<(), FarmError> {
        if let Some((about, _)) = &about {
            check_about(about)?;
        }
        let now = self.now();
        let news = about
            .filter(|(about, heartbeat)| *about != runner.about || *heartbeat != runner.heartbeat);
        // Polls come every few seconds; a write for each would be most of the write load of an
        // idle farm.
        let recent = runner.contact_at.is_some_and(|at| now - at < CONTACT_EVERY);
        if recent && news.is_none() {
            return Ok(());
        }
        let id = runner.id;
        let write = move |conn: &mut Conn| {
            let (about, heartbeat) = match &news {
                Some((about, heartbeat)) => (Some(about), *heartbeat),
                None => (None, false),
            };
            runners::record_contact(conn, id, about, heartbeat, now)
        };
        self.write(write).await
    }

    /// Deletes a runner. The jobs it has are lost at once and retried on other runners.
    pub async fn unregister_runner(&self, runner: &Runner) -> Result<(), FarmError> {
        let (id, now) = (runner.id, self.now());
        let write = move |conn: &mut Conn| {
            runners::delete(conn, id, now)?;
            // The leases end in the same transaction; the next run of the lease duty retries the
            // jobs elsewhere.
            jobs::end_leases_of(conn, id, now)
        };
        self.write(write).await?;
        self.inner.wakeups.wake_runner(id);
        tracing::info!(runner.id = %id, "Deleted runner {id}");
        Ok(())
    }

    /// The runners that the actor may see: all for an administrator, otherwise those of its projects.
    pub async fn runners(&self, actor: &Actor, page: Page) -> Result<Vec<Runner>, FarmError> {
        actor.require(Action::ReadProjects)?;
        let wanted = usize::try_from(page.limit).unwrap_or(0);
        let (mut seen, mut page) = (Vec::new(), page);
        // Runners that the actor may not see are left out, and older ones fill the page.
        loop {
            let list = move |conn: &mut Conn| runners::list(conn, page);
            let rows = self.read(list).await?;
            let is_last = rows.len() < wanted;
            page.before = rows.last().map(|runner| runner.id.0);
            for runner in rows {
                if actor.admin || self.runner_role(actor, &runner).await?.is_some() {
                    seen.push(runner);
                }
            }
            if is_last || seen.len() >= wanted {
                seen.truncate(wanted);
                return Ok(seen);
            }
        }
    }

    /// A runner, for an actor with the role `need` on it.
    ///
    /// # Errors
    /// `NotFound` when the actor may not see the runner, `Forbidden` when its role is too low.
    pub async fn runner(
        &self,
        actor: &Actor,
        id: RunnerId,
        need: Role,
    ) -> Result<Runner, FarmError> {
        let runner = self.read(move |conn| runners::get(conn, id)).await?;
        if runner.removed_at.is_some() {
            return Err(FarmError::NotFound("runner"));
        }
        match self.runner_role(actor, &runner).await? {
            None => Err(FarmError::NotFound("runner")),
            Some(role) if role < need => Err(FarmError::Forbidden(
                "this needs a higher role on the runner",
            )),
            Some(_) => Ok(runner),
        }
    }

    /// The role of an actor on a runner: its lowest role in any project that the runner serves,
    /// because a change of the runner affects them all. Shared runners need an administrator.
    async fn runner_role(&self, actor: &Actor, runner: &Runner) -> Result<Option<Role>, FarmError> {
        if actor.admin {
            return Ok(actor.scope.ceiling());
        }
        let RunnerScope::Projects(projects) = &runner.capabilities.scope else {
            return Ok(None);
        };
        let mut lowest = None;
        for project in projects {
            match self.project_by_id(actor, *project, Role::Reader).await {
                Ok(access) => {
                    lowest =
                        Some(lowest.map_or(access.role(), |role: Role| role.min(access.role())))
                }
                // One project that the actor cannot see hides the runner.
                Err(FarmError::NotFound(_)) => return Ok(None),
                Err(other) => return Err(other),
            }
        }
        Ok(lowest)
    }

    /// Changes a runner.
    ///
    /// # Errors
    /// `IdleForEver` for a runner that could never claim a job; `Invalid` for an invalid description.
    pub async fn update_runner(
        &self,
        runner: &Runner,
        change: Update,
    ) -> Result<Runner, FarmError> {
        if let Some(description) = &change.description {
            check_line("runner description", description)?;
        }
        let tags = change.tags.as_ref().unwrap_or(&runner.capabilities.tags);
        if tags.is_empty()
            && !change
                .run_untagged
                .unwrap_or(runner.capabilities.run_untagged)
        {
            return Err(FarmError::IdleForEver);
        }
        let id = runner.id;
        let runner = self
            .write(move |conn| runners::update(conn, id, &change))
            .await?;
        // Its parked polls still stand under its old capabilities.
        self.inner.wakeups.wake_runner(id);
        Ok(runner)
    }
}

/// Marks the conflict of [`Farm::register_runner`] inside the transaction.
const IDLE_FOR_EVER: &str = "the runner could never claim a job";

/// Checks the texts that a runner reports about itself.
pub(crate) fn check_about(about: &About) -> Result<(), FarmError> {
    for (what, text) in [
        ("runner name", &about.name),
        ("runner version", &about.version),
        ("runner revision", &about.revision),
        ("runner platform", &about.platform),
        ("runner architecture", &about.architecture),
        ("runner executor", &about.executor),
    ] {
        check_line(what, text.as_deref().unwrap_or_default())?;
    }
    Ok(())
}
