//! The only writer of a SQLite database: a thread that commits waiting closures in groups.
//!
//! A commit costs as much as its sync, so closures that arrive during one commit share the next.
//! Each closure has a savepoint of its own, so that a failure does not roll back the others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use diesel::connection::SimpleConnection;

use crate::engine::connection::Conn;
use crate::error::StoreError;

/// How many closures may share a commit.
const MAX_GROUP: usize = 256;

/// How work ended.
#[derive(Debug)]
pub(crate) enum Ran {
    Done,
    /// It must be rolled back.
    Failed,
    /// The disk is full. SQLite may have rolled back the whole transaction already.
    DiskFull(String),
}

/// Work for the writer thread.
pub(crate) trait Work: Send {
    /// Runs inside the transaction.
    fn run(&mut self, conn: &mut Conn) -> Ran;
    /// Answers the caller after the commit. `commit_failure` says why the whole group was rolled
    /// back.
    fn answer(self: Box<Self>, commit_failure: Option<&StoreError>);
}

/// A handle to the writer thread, which stops when the handle is dropped.
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
    /// `Unavailable` if the thread has stopped.
    pub(crate) fn submit(&self, work: Box<dyn Work>) -> Result<(), StoreError> {
        let stopped = || StoreError::Unavailable("the database writer has stopped".to_owned());
        self.sender
            .as_ref()
            .ok_or_else(stopped)?
            .send(work)
            .map_err(|_| stopped())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread stops when its channel is closed, after the work that is already queued.
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // The panic hook has already reported a panic of the thread.
            let _ = thread.join();
        }
    }
}

fn write_all(mut conn: Conn, receiver: &Receiver<Box<dyn Work>>) {
    while let Ok(first) = receiver.recv() {
        let mut group = vec![first];
        // Only work that already waits joins the group: a commit never waits for more.
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
    // IMMEDIATE takes the write lock now. Otherwise a transaction that begins with a read could fail
    // later, when it first writes.
    conn.batch_execute("BEGIN IMMEDIATE")?;
    let done = run_group(conn, group).and_then(|()| Ok(conn.batch_execute("COMMIT")?));
    if let Err(failure) = &done {
        // An open transaction would make the next group fail as well.
        match conn.batch_execute("ROLLBACK") {
            Ok(()) => {}
            // SQLite has rolled it back itself.
            Err(_) if matches!(failure, StoreError::DiskFull(_)) => {}
            Err(error) => {
                tracing::error!(error = %error, "Could not roll back a failed group of writes");
            }
        }
    }
    done
}

fn run_group(conn: &mut Conn, group: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
    for work in group {
        conn.batch_execute("SAVEPOINT work")?;
        // A panic in one closure must not stop the writer, and with it the whole farm.
        match catch_unwind(AssertUnwindSafe(|| work.run(conn))).unwrap_or(Ran::Failed) {
            Ran::Done => {}
            Ran::Failed => conn.batch_execute("ROLLBACK TO work")?,
            // No savepoint may be left, so nothing of the group can be committed.
            Ran::DiskFull(why) => return Err(StoreError::DiskFull(why)),
        }
        conn.batch_execute("RELEASE work")?;
    }
    Ok(())
}
