//! Managers: the processes that share the token of a runner, each with its own system id.

use slipway_domain::names::check_line;
use slipway_domain::{JobId, RunnerToken};
use slipway_store::managers::{self, Manager};
use slipway_store::runners::{self, About, Runner};
use slipway_store::{Conn, StoreError, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::runners::manage::{CONTACT_EVERY, check_about};

/// The manager that sends a request.
#[derive(Clone, Debug, Default)]
pub struct ManagerInfo {
    /// The id that the manager has on its host. Managers without one count as one manager.
    pub system_id: Option<String>,
    /// Whether it stops canceled jobs gracefully.
    pub graceful: bool,
}

impl Farm {
    /// Notes contact with a manager of a runner and what it reports about itself. Writes only when
    /// the report changed or the last note is old.
    ///
    /// # Errors
    /// `Invalid` for invalid texts.
    pub async fn record_manager_contact(
        &self,
        runner: &Runner,
        manager: &ManagerInfo,
        about: Option<(About, bool)>,
    ) -> Result<(), FarmError> {
        let Some(system_id) = manager.system_id.clone() else {
            return self.record_contact(runner, about).await;
        };
        check_line("system id", &system_id)?;
        if let Some((about, _)) = &about {
            check_about(about)?;
        }
        let (id, name, now) = (runner.id, system_id.clone(), self.now());
        // A read decides whether a write is needed, because reads do not queue behind the one
        // writer of SQLite.
        let find = move |conn: &mut Conn| managers::find(conn, id, &name);
        let known = self.read(find).await?;
        let has_news = known.is_none_or(|known| {
            let differs = about.as_ref().is_some_and(|(about, _)| {
                // These are stored for the runner only, as no stock runner reports them.
                known.about
                    != About {
                        platforms: Vec::new(),
                        image_archives: false,
                        unready: None,
                        trust: Vec::new(),
                        notes: Vec::new(),
                        ..about.clone()
                    }
            });
            differs || now - known.contact_at >= CONTACT_EVERY
        });
        if !has_news {
            return Ok(());
        }
        let write = move |conn: &mut Conn| {
            let report = about.as_ref().map(|(about, _)| about);
            let heartbeat = about.as_ref().is_some_and(|(_, heartbeat)| *heartbeat);
            managers::record_contact(conn, id, &system_id, report, now)?;
            runners::record_contact(conn, id, report, heartbeat, now)
        };
        self.write(write).await
    }

    /// Notes which manager claimed a job, if there is anything to note.
    pub(crate) async fn record_claiming_manager(
        &self,
        job: JobId,
        manager: &ManagerInfo,
    ) -> Result<(), FarmError> {
        // Runners of protocol v1 have neither, and are spared a write for each claim.
        if manager.system_id.is_none() && !manager.graceful {
            return Ok(());
        }
        let manager = manager.clone();
        let write = move |conn: &mut Conn| {
            jobs::record_manager(conn, job, manager.system_id.as_deref(), manager.graceful)
        };
        self.write(write).await
    }

    /// The managers of a runner, in the order of their first contact.
    pub async fn managers_of(&self, runner: &Runner) -> Result<Vec<Manager>, FarmError> {
        let id = runner.id;
        let list = move |conn: &mut Conn| managers::of_runner(conn, id);
        self.read(list).await
    }

    /// Deletes a manager of a runner. The runner stays.
    ///
    /// # Errors
    /// `NotFound` when the runner has no such manager.
    pub async fn remove_manager(&self, runner: &Runner, system_id: &str) -> Result<(), FarmError> {
        let (id, name) = (runner.id, system_id.to_owned());
        let remove = move |conn: &mut Conn| {
            if managers::delete(conn, id, &name)? {
                Ok(())
            } else {
                Err(StoreError::NotFound("manager of this runner"))
            }
        };
        self.write(remove).await
    }

    /// Replaces the token `old` of a runner by a new one of the same kind.
    pub async fn renew_runner_token(
        &self,
        runner: &Runner,
        old: &RunnerToken,
    ) -> Result<RunnerToken, FarmError> {
        let next = old.successor(self.inner.chance.bytes());
        self.put_token(runner, next).await
    }

    /// Replaces the token of a runner for a person who does not know it. The new one is of the kind
    /// that is created in advance.
    pub async fn replace_runner_token(&self, runner: &Runner) -> Result<RunnerToken, FarmError> {
        let next = RunnerToken::precreated(self.inner.chance.bytes());
        self.put_token(runner, next).await
    }

    async fn put_token(
        &self,
        runner: &Runner,
        next: RunnerToken,
    ) -> Result<RunnerToken, FarmError> {
        let (id, hash) = (runner.id, next.hash());
        let write = move |conn: &mut Conn| runners::set_token(conn, id, hash);
        self.write(write).await?;
        tracing::info!(runner.id = %id, "Replaced the token of runner {id}");
        Ok(next)
    }
}
