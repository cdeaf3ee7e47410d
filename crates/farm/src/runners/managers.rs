//! Managers: the processes that share the token of a runner, each with its own system id.

use slipway_domain::names::check_line;
use slipway_domain::{RunnerId, RunnerToken};
use slipway_store::managers::{self, Manager};
use slipway_store::runners::{self, About, Runner};
use slipway_store::{ClaimingManager, Conn, StoreError};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::runners::manage::{CONTACT_EVERY, check_about};
use crate::state::contacts::Contact;

/// The manager that sends a request.
#[derive(Clone, Debug, Default)]
pub struct ManagerInfo {
    /// The id that the manager has on its host. Managers without one count as one manager.
    pub system_id: Option<String>,
    /// Whether it stops canceled jobs gracefully.
    pub graceful: bool,
}

impl ManagerInfo {
    /// What is recorded of it with a job that it claims, if there is anything to record.
    pub(crate) fn recorded(&self) -> Option<ClaimingManager> {
        // Runners of protocol v1 have neither, and are spared a row for each claim.
        if self.system_id.is_none() && !self.graceful {
            return None;
        }
        Some(ClaimingManager {
            system_id: self.system_id.clone(),
            graceful: self.graceful,
        })
    }
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
        let now = self.now();
        let reported = about.as_ref().map(|(about, _)| stored(about));
        let is_recorded = |last: &Contact| {
            let is_same = reported.as_ref().is_none_or(|about| *about == last.about);
            is_same && now - last.at < CONTACT_EVERY
        };
        let last = match self.inner.contacts.last(runner.id, &system_id) {
            Some(last) => Some(last),
            None => self.read_contact(runner.id, &system_id).await?,
        };
        if last.as_ref().is_some_and(is_recorded) {
            return Ok(());
        }
        let contact = Contact {
            about: reported.or(last.map(|last| last.about)).unwrap_or_default(),
            at: now,
        };
        let (id, name) = (runner.id, system_id.clone());
        let write = move |conn: &mut Conn| {
            let report = about.as_ref().map(|(about, _)| about);
            let heartbeat = about.as_ref().is_some_and(|(_, heartbeat)| *heartbeat);
            managers::record_contact(conn, id, &name, report, now)?;
            runners::record_contact(conn, id, report, heartbeat, now)
        };
        self.write(write).await?;
        self.inner.contacts.record(runner.id, system_id, contact);
        Ok(())
    }

    /// The last recorded contact with a manager, from the database.
    async fn read_contact(
        &self,
        runner: RunnerId,
        system_id: &str,
    ) -> Result<Option<Contact>, FarmError> {
        let name = system_id.to_owned();
        let find = move |conn: &mut Conn| managers::find(conn, runner, &name);
        let contact = self.read(find).await?.map(|known| Contact {
            about: known.about,
            at: known.contact_at,
        });
        if let Some(contact) = contact.clone() {
            let system_id = system_id.to_owned();
            self.inner.contacts.record(runner, system_id, contact);
        }
        Ok(contact)
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
        self.write(remove).await?;
        self.inner.contacts.forget(runner.id, system_id);
        Ok(())
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

/// What is stored of a manager's report. The rest is stored for its runner only, as no stock runner reports
/// it.
fn stored(about: &About) -> About {
    About {
        platforms: Vec::new(),
        image_archives: false,
        unready: None,
        trust: Vec::new(),
        notes: Vec::new(),
        ..about.clone()
    }
}
