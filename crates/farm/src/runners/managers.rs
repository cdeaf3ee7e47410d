//! The processes that share a runner's token, and how each is told from the others.

use slipway_domain::names::check_line;
use slipway_domain::{JobId, RunnerToken};
use slipway_store::managers::{self, Manager};
use slipway_store::runners::{self, About, Runner};
use slipway_store::{Conn, StoreError, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::runners::manage::{CONTACT_EVERY, check_about};

/// Which process of a runner speaks.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// The name that it has for its host; all that have none count as one.
    pub system_id: Option<String>,
    /// Whether it ends a job in its own way when that is canceled.
    pub graceful: bool,
}

impl Farm {
    /// Notes that one process of a runner was heard of and what it says of itself, when there is news.
    ///
    /// # Errors
    /// `Invalid` for texts that cannot be.
    pub async fn note_process(
        &self,
        runner: &Runner,
        process: &Process,
        about: Option<(About, bool)>,
    ) -> Result<(), FarmError> {
        let Some(system_id) = process.system_id.clone() else {
            return self.record_contact(runner, about).await;
        };
        check_line("system id", &system_id)?;
        if let Some((about, _)) = &about {
            check_about(about)?;
        }
        let (id, name, now) = (runner.id, system_id.clone(), self.now());
        let find = move |conn: &mut Conn| managers::find(conn, id, &name);
        let known = self.read(find).await?;
        let is_news = known.is_none_or(|known| {
            let says_else = about.as_ref().is_some_and(|(about, _)| {
                // What only our runner says is not kept of a process.
                known.about
                    != About {
                        platforms: Vec::new(),
                        image_archives: false,
                        ..about.clone()
                    }
            });
            says_else || now - known.contact_at >= CONTACT_EVERY
        });
        if !is_news {
            return Ok(());
        }
        let write = move |conn: &mut Conn| {
            let said = about.as_ref().map(|(about, _)| about);
            let heartbeat = about.as_ref().is_some_and(|(_, heartbeat)| *heartbeat);
            managers::record_contact(conn, id, &system_id, said, now)?;
            runners::record_contact(conn, id, said, heartbeat, now)
        };
        self.write(write).await
    }

    /// Notes which process of its runner took a job, where there is anything to note.
    pub(crate) async fn record_manager(
        &self,
        job: JobId,
        process: &Process,
    ) -> Result<(), FarmError> {
        if process.system_id.is_none() && !process.graceful {
            return Ok(());
        }
        let process = process.clone();
        let write = move |conn: &mut Conn| {
            jobs::record_manager(conn, job, process.system_id.as_deref(), process.graceful)
        };
        self.write(write).await
    }

    /// The processes of a runner, those first that were heard of first.
    pub async fn managers_of(&self, runner: &Runner) -> Result<Vec<Manager>, FarmError> {
        let id = runner.id;
        let list = move |conn: &mut Conn| managers::of_runner(conn, id);
        self.read(list).await
    }

    /// Forgets one process of a runner, at its own request; the runner stays.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name.
    pub async fn remove_manager(&self, runner: &Runner, system_id: &str) -> Result<(), FarmError> {
        let (id, name) = (runner.id, system_id.to_owned());
        let remove = move |conn: &mut Conn| match managers::delete(conn, id, &name)? {
            true => Ok(()),
            false => Err(StoreError::NotFound("process of this runner")),
        };
        self.write(remove).await
    }

    /// Gives a runner another token in the place of `old`, which is worth nothing from then on.
    pub async fn renew_runner_token(
        &self,
        runner: &Runner,
        old: &RunnerToken,
    ) -> Result<RunnerToken, FarmError> {
        let next = old.successor(self.inner.chance.bytes());
        self.put_token(runner, next).await
    }

    /// The same for somebody who may change the runner and does not know its token: the new one is of
    /// those that are made here.
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
        tracing::info!(runner.id = %id, "Runner {id} has another token");
        Ok(next)
    }
}
