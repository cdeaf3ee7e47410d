//! The traces of several jobs on one output.
//!
//! A trace is printed for as long as it grows. When it pauses, another trace that has grown meanwhile
//! takes over, so that lines of different jobs are not mixed more than necessary. As JSON, each part
//! names its job and is printed at once.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use serde::Serialize;
use slipway_client::{ClientError, Job, TraceEvent};
use tokio::time::Instant;

use super::pending::has_not_started;
use crate::commands::Session;
use crate::commands::logs::title;
use crate::commands::trace_printer::TracePrinter;

/// How long the printed trace must pause before another one is printed.
const PAUSE: Duration = Duration::from_millis(500);

/// The end of a followed job, as JSON.
#[derive(Serialize)]
struct End<'a> {
    job: i64,
    state: &'a str,
}

/// The followed traces.
pub(super) struct Traces<'a> {
    session: &'a Session,
    open: Vec<Trace>,
    /// The jobs whose traces were opened.
    seen: BTreeSet<i64>,
    /// The job whose trace is being printed.
    current: Option<i64>,
    /// When another trace may be printed.
    switch_at: Instant,
}

struct Trace {
    job: i64,
    /// The line to print above the trace.
    title: Option<String>,
    /// Whether the job had finished when its trace was opened.
    is_replay: bool,
    events: LocalBoxStream<'static, Result<TraceEvent, ClientError>>,
    printer: TracePrinter,
}

impl<'a> Traces<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        Self {
            session,
            open: Vec::new(),
            seen: BTreeSet::new(),
            current: None,
            switch_at: Instant::now(),
        }
    }

    /// Whether all opened traces have ended.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Opens the traces of jobs that have started since the last call.
    ///
    /// Traces of running jobs are opened at once. Those of finished jobs are opened one after the
    /// other, so that they are printed in order and as a whole.
    pub(super) fn start(&mut self, jobs: &[Job], with_titles: bool) -> Result<()> {
        for job in jobs {
            let is_ready = !job.superseded && !has_not_started(job);
            if !is_ready || self.seen.contains(&job.id) {
                continue;
            }
            if job.is_done() && self.open.iter().any(|trace| trace.is_replay) {
                continue;
            }
            self.open(job, with_titles)?;
        }
        Ok(())
    }

    /// Opens the trace of a job, which may not have started yet.
    pub(super) fn open(&mut self, job: &Job, with_title: bool) -> Result<()> {
        self.seen.insert(job.id);
        self.open.push(Trace {
            job: job.id,
            title: with_title.then(|| title(job)),
            is_replay: job.is_done(),
            events: self.session.client.follow_trace(job.id, 0).boxed_local(),
            printer: TracePrinter::new(job.id),
        });
        if self.current.is_none() {
            self.switch_to(self.open.len() - 1)?;
        }
        Ok(())
    }

    /// Prints what arrives within `time`. Returns early when a trace ends, with the state of its job.
    pub(super) async fn print_for(&mut self, time: Duration) -> Result<Option<String>> {
        let mut end = pin!(tokio::time::sleep(time));
        loop {
            let (index, event) = tokio::select! {
                () = &mut end => return Ok(None),
                event = self.next_event() => event,
            };
            let job = self.open[index].job;
            match event {
                Some(Ok(TraceEvent::Chunk { bytes, .. })) => {
                    self.switch_to(index)?;
                    self.open[index].printer.print(self.session, &bytes)?;
                    self.switch_at = Instant::now() + PAUSE;
                }
                Some(Ok(TraceEvent::End { state })) => {
                    self.switch_to(index)?;
                    self.finish(index, &state)?;
                    return Ok(Some(state));
                }
                Some(Err(error)) => return Err(error.into()),
                None => anyhow::bail!("the trace of job {job} ended early"),
            }
        }
    }

    /// The next event of a trace that may be printed now, and the index of the trace.
    async fn next_event(&mut self) -> (usize, Option<Result<TraceEvent, ClientError>>) {
        let mut pause = pin!(tokio::time::sleep_until(self.switch_at));
        let is_json = self.session.output.is_json();
        let (open, current) = (&mut self.open, self.current);
        poll_fn(|context| {
            let may_switch = pause.as_mut().poll(context).is_ready() || is_json;
            let is_current = |trace: &Trace| current.is_none_or(|job| job == trace.job);
            // The printed trace goes first.
            for round in [true, false] {
                for (index, trace) in open.iter_mut().enumerate() {
                    if is_current(trace) != round || !(round || may_switch) {
                        continue;
                    }
                    if let Poll::Ready(event) = trace.events.poll_next_unpin(context) {
                        return Poll::Ready((index, event));
                    }
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Makes a trace the one that is printed.
    fn switch_to(&mut self, index: usize) -> Result<()> {
        let job = self.open[index].job;
        if self.current == Some(job) {
            return Ok(());
        }
        let earlier = self
            .open
            .iter_mut()
            .find(|trace| Some(trace.job) == self.current);
        if let Some(earlier) = earlier {
            earlier.printer.end_line(self.session)?;
        }
        self.current = Some(job);
        // Others may take over until it prints something.
        self.switch_at = Instant::now();
        match &self.open[index].title {
            Some(title) if !self.session.output.is_json() => Ok(self.session.output.note(title)?),
            _ => Ok(()),
        }
    }

    /// Removes a trace that has ended.
    fn finish(&mut self, index: usize, state: &str) -> Result<()> {
        let mut trace = self.open.remove(index);
        trace.printer.finish(self.session)?;
        // The next title or summary begins on a line of its own.
        if trace.title.is_some() {
            trace.printer.end_line(self.session)?;
        }
        self.current = None;
        if self.session.output.is_json() {
            self.session.output.json_line(&End {
                job: trace.job,
                state,
            })?;
        }
        Ok(())
    }
}
