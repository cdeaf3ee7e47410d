//! What coordinators on one PostgreSQL tell each other: `LISTEN` and `NOTIFY`, coalesced.
//!
//! A signal only says where to look; it may be lost, and whoever hears it looks at the database.
//! With SQLite there is one coordinator and nobody to tell.

use std::future::poll_fn;
use std::time::Duration;

use slipway_domain::{JobId, QueueKeyId};
use tokio::sync::{broadcast, mpsc};
use tokio_postgres::{AsyncMessage, NoTls};

use crate::engine::connection::DatabaseUrl;
use crate::error::StoreError;

/// Something that was committed and that others may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A job of this requirement became pending.
    Pending(QueueKeyId),
    /// A job of this requirement became pending, and is kept for one runner for now.
    Kept(QueueKeyId),
    /// A job's state or trace changed.
    Job(JobId),
    /// Signals may have been missed: look at everything.
    Resync,
}

const CHANNEL: &str = "slipway";
/// How many signals fit the 8,000 bytes that PostgreSQL allows a payload, with room to spare.
const MAX_BATCH: usize = 300;
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Signals {
    outgoing: Option<mpsc::UnboundedSender<Signal>>,
    incoming: broadcast::Sender<Signal>,
}

impl Signals {
    /// Connects, and stays connected for as long as a clone of the handle lives.
    pub(crate) async fn start(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let (incoming, _) = broadcast::channel(1024);
        let DatabaseUrl::Postgres(url) = url else {
            return Ok(Self {
                outgoing: None,
                incoming,
            });
        };
        let session = Session::connect(url).await.map_err(unavailable)?;
        let (outgoing, queued) = mpsc::unbounded_channel();
        let run = run(url.clone(), session, queued, incoming.clone());
        slipway_tasks::spawn("signals", run);
        Ok(Self {
            outgoing: Some(outgoing),
            incoming,
        })
    }

    pub(crate) fn send(&self, signal: Signal) {
        if let Some(outgoing) = &self.outgoing {
            // It fails only while the runtime shuts down, when nobody needs to hear it.
            let _ = outgoing.send(signal);
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Signal> {
        self.incoming.subscribe()
    }
}

fn unavailable(error: tokio_postgres::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// One connection that both listens and notifies.
struct Session {
    client: tokio_postgres::Client,
    messages: mpsc::UnboundedReceiver<tokio_postgres::Notification>,
    own_pid: i32,
}

impl Session {
    async fn connect(url: &str) -> Result<Self, tokio_postgres::Error> {
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
        let (forward, messages) = mpsc::unbounded_channel();
        slipway_tasks::spawn("signal connection", async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(notification) = message
                    && forward.send(notification).is_err()
                {
                    break;
                }
            }
        });
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
        let own_pid = client
            .query_one("SELECT pg_backend_pid()", &[])
            .await?
            .get(0);
        Ok(Self {
            client,
            messages,
            own_pid,
        })
    }

    async fn notify(&self, signals: &[Signal]) -> Result<(), tokio_postgres::Error> {
        let payload: Vec<String> = signals.iter().filter_map(encode).collect();
        self.client
            .execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &payload.join(" ")])
            .await
            .map(drop)
    }
}

/// Until the last handle is dropped: passes signals on in both directions, and reconnects.
async fn run(
    url: String,
    mut session: Session,
    mut queued: mpsc::UnboundedReceiver<Signal>,
    incoming: broadcast::Sender<Signal>,
) {
    loop {
        match exchange(&mut session, &mut queued, &incoming).await {
            Ended::NoHandles => return,
            Ended::Disconnected => tracing::warn!("The connection for signals was lost"),
        }
        session = loop {
            tokio::time::sleep(RECONNECT_PAUSE).await;
            match Session::connect(&url).await {
                Ok(session) => break session,
                Err(error) => tracing::debug!(error = %error, "Signals cannot reconnect yet"),
            }
        };
        // Nobody listens between tests and at start; that is not an error.
        let _ = incoming.send(Signal::Resync);
    }
}

enum Ended {
    NoHandles,
    Disconnected,
}

async fn exchange(
    session: &mut Session,
    queued: &mut mpsc::UnboundedReceiver<Signal>,
    incoming: &broadcast::Sender<Signal>,
) -> Ended {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            count = queued.recv_many(&mut batch, MAX_BATCH) => {
                if count == 0 {
                    return Ended::NoHandles;
                }
                if session.notify(&batch).await.is_err() {
                    return Ended::Disconnected;
                }
                batch.clear();
            }
            message = session.messages.recv() => match message {
                None => return Ended::Disconnected,
                Some(message) if message.process_id() == session.own_pid => {}
                Some(message) => {
                    for signal in message.payload().split(' ').filter_map(decode) {
                        let _ = incoming.send(signal);
                    }
                }
            },
        }
    }
}

fn encode(signal: &Signal) -> Option<String> {
    match signal {
        Signal::Pending(key) => Some(format!("q{key}")),
        Signal::Kept(key) => Some(format!("k{key}")),
        Signal::Job(job) => Some(format!("j{job}")),
        Signal::Resync => None,
    }
}

fn decode(word: &str) -> Option<Signal> {
    match word.split_at_checked(1)? {
        ("q", id) => id.parse().ok().map(Signal::Pending),
        ("k", id) => id.parse().ok().map(Signal::Kept),
        ("j", id) => id.parse().ok().map(Signal::Job),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_survive_the_payload_and_rubbish_is_passed_over() {
        let key = QueueKeyId(7);
        for signal in [
            Signal::Pending(key),
            Signal::Kept(key),
            Signal::Job(JobId(9)),
        ] {
            assert_eq!(decode(&encode(&signal).unwrap()), Some(signal));
        }
        for rubbish in ["", "q", "x1", "qé", "ü"] {
            assert_eq!(decode(rubbish), None, "{rubbish}");
        }
    }
}
