//! Gathers the claims that wait for the database, so that they share one commit.

use std::sync::Weak;

use tokio::sync::{mpsc, oneshot};

use crate::engine::inner::StoreInner;
use crate::error::StoreError;
use crate::queue::batch::claim_batch;
use crate::queue::types::{ClaimRequest, Claimed};

/// How many claims may share a commit.
const MAX_BATCH: usize = 256;

type Answer = Result<Option<Claimed>, StoreError>;

/// A handle to the task that makes claims.
#[derive(Clone)]
pub(crate) struct ClaimQueue {
    sender: mpsc::Sender<(ClaimRequest, oneshot::Sender<Answer>)>,
}

impl ClaimQueue {
    /// Starts the task, which ends when the last handle or the store is dropped.
    pub(crate) fn start(store: Weak<StoreInner>) -> Self {
        let (sender, mut receiver) =
            mpsc::channel::<(ClaimRequest, oneshot::Sender<Answer>)>(MAX_BATCH * 4);
        slipway_tasks::spawn("claims", async move {
            let mut batch = Vec::with_capacity(MAX_BATCH);
            while gather(&mut receiver, &mut batch).await > 0 {
                let Some(store) = store.upgrade() else { break };
                let (requests, requesters): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
                let answers =
                    StoreInner::write(&store, move |conn| claim_batch(conn, &requests)).await;
                answer_all(requesters, answers);
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

/// Waits for a request, and collects the requests that arrive right after it.
///
/// Runners that were answered together also ask again together. Without this wait, the first of
/// them would get a commit of its own, and all the others would wait for it.
async fn gather<T>(receiver: &mut mpsc::Receiver<T>, batch: &mut Vec<T>) -> usize {
    if receiver.recv_many(batch, 1).await == 0 {
        return 0;
    }
    // Each turn lets other tasks run; the batch is complete once none of them adds a request.
    loop {
        let waiting = receiver.len();
        tokio::task::yield_now().await;
        if receiver.len() == waiting {
            break;
        }
    }
    while batch.len() < MAX_BATCH
        && let Ok(next) = receiver.try_recv()
    {
        batch.push(next);
    }
    batch.len()
}

fn answer_all(
    requesters: Vec<oneshot::Sender<Answer>>,
    answers: Result<Vec<Option<Claimed>>, StoreError>,
) {
    match answers {
        // A requester that stopped waiting still holds its claim until the lease expires.
        Ok(answers) => requesters
            .into_iter()
            .zip(answers)
            .for_each(|(requester, claimed)| {
                let _ = requester.send(Ok(claimed));
            }),
        Err(error) => {
            tracing::warn!(error = %error, "A batch of claims failed");
            let text = error.to_string();
            for requester in requesters {
                let _ = requester.send(Err(StoreError::Unavailable(text.clone())));
            }
        }
    }
}
