//! The one writer of a SQLite database: a thread that commits what waits in groups.
//!
//! Syncing is what a commit costs, so closures that arrive while one is under way share the next.
//! Each has a savepoint of its own: one that fails takes nothing of the others with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use diesel::connection::SimpleConnection;

use crate::engine::connection::Conn;
use crate::error::StoreError;

/// How many closures share a commit at the most.
const MAX_GROUP: usize = 256;

/// Work for the writer: runs inside the transaction, and is told afterwards whether it was kept.
pub(crate) trait Work: Send {
    /// Does the work; false when it failed and must be rolled back.
    fn run(&mut self, conn: &mut Conn) -> bool;
    /// Answers the caller: `None` when the commit succeeded, else why nothing was kept.
    fn answer(self: Box<Self>, commit_failure: Option<&StoreError>);
}

/// A handle on the writer thread, which ends when the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    sender: Option<Sender<Box<dyn Work>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(conn: Conn) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("slipway-writer".to_owned())
            .spawn(move || write_all(conn, &receiver))?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    /// Queues work.
    ///
    /// # Errors
    /// When the thread is gone.
    pub(crate) fn submit(&self, work: Box<dyn Work>) -> Result<(), StoreError> {
        let gone = || StoreError::Unavailable("the database writer has stopped".to_owned());
        self.sender
            .as_ref()
            .ok_or_else(gone)?
            .send(work)
            .map_err(|_| gone())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by the panic hook; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

fn write_all(mut conn: Conn, receiver: &Receiver<Box<dyn Work>>) {
    while let Ok(first) = receiver.recv() {
        let mut group = vec![first];
        while group.len() < MAX_GROUP
            && let Ok(next) = receiver.try_recv()
        {
            group.push(next);
        }
        let outcome = commit_group(&mut conn, &mut group);
        for work in group {
            work.answer(outcome.as_ref().err());
        }
    }
}

fn commit_group(conn: &mut Conn, group: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
    conn.batch_execute("BEGIN IMMEDIATE")?;
    let done = run_group(conn, group).and_then(|()| Ok(conn.batch_execute("COMMIT")?));
    if done.is_err() {
        // The connection must not stay inside a transaction, whatever went wrong.
        if let Err(error) = conn.batch_execute("ROLLBACK") {
            tracing::error!(error = %error, "A failed group could not be rolled back");
        }
    }
    done
}

fn run_group(conn: &mut Conn, group: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
    for work in group {
        conn.batch_execute("SAVEPOINT work")?;
        // A panic in one closure must not take the writer, and with it the farm, down.
        let kept = catch_unwind(AssertUnwindSafe(|| work.run(conn))).unwrap_or(false);
        if !kept {
            conn.batch_execute("ROLLBACK TO work")?;
        }
        conn.batch_execute("RELEASE work")?;
    }
    Ok(())
}
