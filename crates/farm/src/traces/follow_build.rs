//! Follows the traces of all jobs of a build as one text.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use slipway_domain::{BuildId, JobId, JobState};
use slipway_store::{Conn, builds, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::traces::live::follow::TraceEvent;

/// How often to look for the next job that starts, while all jobs so far have ended.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// What a follower of a build gets.
#[derive(Clone, Debug)]
pub enum BuildTraceEvent {
    Bytes(Bytes),
    /// The follower is too slow. This is the last event.
    Lagged,
}

impl Farm {
    /// Follows the traces of the jobs of a build, one after the other, until the build has ended.
    /// Every attempt of a retried job is shown.
    ///
    /// Bytes are fetched as the follower asks for them, so a slow follower costs no memory and holds
    /// up nobody.
    pub fn follow_build(
        &self,
        build: BuildId,
    ) -> impl Stream<Item = Result<BuildTraceEvent, FarmError>> + use<> {
        let follower = Follower {
            farm: self.clone(),
            build,
            shown: HashSet::new(),
            current: None,
            is_done: false,
        };
        stream::try_unfold(follower, |mut follower| async move {
            let event = follower.next().await?;
            Ok(event.map(|event| (event, follower)))
        })
    }
}

struct Follower {
    farm: Farm,
    build: BuildId,
    shown: HashSet<JobId>,
    current: Option<BoxStream<'static, Result<TraceEvent, FarmError>>>,
    is_done: bool,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<BuildTraceEvent>, FarmError> {
        if self.is_done {
            return Ok(None);
        }
        loop {
            if let Some(current) = &mut self.current {
                match current.next().await.transpose()? {
                    Some(TraceEvent::Piece(piece)) => {
                        return Ok(Some(BuildTraceEvent::Bytes(piece.bytes().clone())));
                    }
                    Some(TraceEvent::CaughtUp) => continue,
                    Some(TraceEvent::Lagged) => {
                        self.is_done = true;
                        return Ok(Some(BuildTraceEvent::Lagged));
                    }
                    Some(TraceEvent::End { .. }) | None => self.current = None,
                }
            }
            let Some(job) = self.next_job().await? else {
                return Ok(None);
            };
            self.shown.insert(job);
            self.current = Some(self.farm.follow_trace(job, 0).boxed());
        }
    }

    /// The next job that has a trace, or will have one; `None` when the build has ended.
    async fn next_job(&mut self) -> Result<Option<JobId>, FarmError> {
        let build = self.build;
        loop {
            let read = move |conn: &mut Conn| {
                let jobs = jobs::of_build(conn, build)?;
                Ok((builds::get(conn, build)?.state, jobs))
            };
            let (state, jobs) = self.farm.read(read).await?;
            let is_queued =
                |state: JobState| !matches!(state, JobState::Waiting | JobState::Manual);
            let mut next = jobs
                .iter()
                .filter(|job| is_queued(job.state) && !self.shown.contains(&job.id));
            if let Some(job) = next.next() {
                return Ok(Some(job.id));
            }
            if state.is_done() {
                return Ok(None);
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_EVERY) => {}
                () = self.farm.inner.stopping.cancelled() => {
                    return Err(FarmError::Unavailable("the coordinator is stopping".to_owned()));
                }
            }
        }
    }
}
