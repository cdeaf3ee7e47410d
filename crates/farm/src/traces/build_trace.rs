//! The traces of a build's jobs as one text, from its beginning to its end.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use slipway_domain::{BuildId, JobId, JobState};
use slipway_store::{builds, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::traces::live::follow::TraceEvent;

/// How often to look whether a job may begin at last, while all others of its build are over.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a follower of a build gets.
#[derive(Clone, Debug)]
pub enum BuildText {
    /// More of the text.
    Bytes(Bytes),
    /// The follower is too slow, and this is the last that it gets.
    Lagged,
}

impl Farm {
    /// The traces of a build's jobs, one after the other: what is stored, then what comes, until
    /// the build is over. Of a job that is tried again, every attempt is shown.
    ///
    /// The bytes are fetched as they are asked for, so a slow reader costs no memory and holds up
    /// nobody.
    pub fn follow_build(
        &self,
        build: BuildId,
    ) -> impl Stream<Item = Result<BuildText, FarmError>> + use<> {
        let follower = Follower {
            farm: self.clone(),
            build,
            shown: HashSet::new(),
            current: None,
            is_done: false,
        };
        stream::try_unfold(follower, |mut follower| async move {
            let text = follower.next_text().await?;
            Ok(text.map(|text| (text, follower)))
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
    async fn next_text(&mut self) -> Result<Option<BuildText>, FarmError> {
        if self.is_done {
            return Ok(None);
        }
        loop {
            if let Some(current) = &mut self.current {
                match current.next().await.transpose()? {
                    Some(TraceEvent::Piece(piece)) => {
                        return Ok(Some(BuildText::Bytes(piece.bytes().clone())));
                    }
                    Some(TraceEvent::CaughtUp) => continue,
                    Some(TraceEvent::Lagged) => {
                        self.is_done = true;
                        return Ok(Some(BuildText::Lagged));
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

    /// The next job that has something to show, or will have; `None` when the build is over.
    async fn next_job(&mut self) -> Result<Option<JobId>, FarmError> {
        let build = self.build;
        loop {
            let look = move |conn: &mut _| {
                let jobs = jobs::of_build(conn, build)?;
                Ok((builds::get(conn, build)?.state, jobs))
            };
            let (state, jobs) = self.farm.read(look).await?;
            let has_begun =
                |state: JobState| !matches!(state, JobState::Waiting | JobState::Manual);
            let mut next = jobs
                .iter()
                .filter(|job| has_begun(job.state) && !self.shown.contains(&job.id));
            if let Some(job) = next.next() {
                return Ok(Some(job.id));
            }
            if state.is_done() {
                return Ok(None);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.farm.inner.stopping.cancelled() => {
                    return Err(FarmError::Unavailable("the coordinator is stopping".to_owned()));
                }
            }
        }
    }
}
