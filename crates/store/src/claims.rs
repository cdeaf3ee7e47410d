//! Gathers the claims that wait for the database, so that they share one commit.

use std::sync::Weak;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::RunnerId;
use slipway_domain::queue::Capabilities;
use tokio::sync::{mpsc, oneshot};

use crate::backend::StoreInner;
use crate::error::StoreError;
use crate::queue::{Claimed, claim_batch};

/// How many claims share a commit at the most.
const MAX_BATCH: usize = 256;

/// A runner's request for a job.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Who asks.
    pub runner: RunnerId,
    /// What it can take.
    pub capabilities: Capabilities,
    /// How long each sign of life holds the lease.
    pub lease: TimeDelta,
    /// The time of the request.
    pub now: DateTime<Utc>,
}

type Answer = Result<Option<Claimed>, StoreError>;

/// A handle on the task that makes claims.
#[derive(Clone)]
pub(crate) struct ClaimQueue {
    sender: mpsc::Sender<(ClaimRequest, oneshot::Sender<Answer>)>,
}

impl ClaimQueue {
    /// Starts the task, which ends when the last handle or the store is dropped.
    pub(crate) fn start(store: Weak<StoreInner>) -> Self {
        let (sender, mut receiver) =
            mpsc::channel::<(ClaimRequest, oneshot::Sender<Answer>)>(MAX_BATCH * 4);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(MAX_BATCH);
            while receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
                let Some(store) = store.upgrade() else { break };
                let (requests, askers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
                let answers =
                    StoreInner::write(&store, move |conn| claim_batch(conn, &requests)).await;
                answer_all(askers, answers);
            }
        });
        Self { sender }
    }

    pub(crate) async fn claim(&self, request: ClaimRequest) -> Answer {
        let stopped = || StoreError::Unavailable("the store has stopped".to_owned());
        let (sender, receiver) = oneshot::channel();
        self.sender
            .send((request, sender))
            .await
            .map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }
}

fn answer_all(
    askers: Vec<oneshot::Sender<Answer>>,
    answers: Result<Vec<Option<Claimed>>, StoreError>,
) {
    match answers {
        // An asker that went away meanwhile keeps its claim until the lease lapses.
        Ok(answers) => askers
            .into_iter()
            .zip(answers)
            .for_each(|(asker, claimed)| {
                let _ = asker.send(Ok(claimed));
            }),
        Err(error) => {
            tracing::warn!(error = %error, "A batch of claims failed");
            let text = error.to_string();
            for asker in askers {
                let _ = asker.send(Err(StoreError::Unavailable(text.clone())));
            }
        }
    }
}
