//! Signals between coordinators on one PostgreSQL: `LISTEN` and `NOTIFY`, several signals per
//! statement.
//!
//! A signal only says where to look. It may be lost, and its receiver reads the database. On SQLite
//! there is only one coordinator, so nothing is sent.

use std::future::poll_fn;
use std::time::Duration;

use slipway_domain::{JobId, QueueKeyId};
use tokio::sync::{broadcast, mpsc};
use tokio_postgres::{AsyncMessage, Config, NoTls};

use crate::engine::connection::DatabaseUrl;
use crate::engine::network::{
    ANSWER_WITHIN, CONNECT_WITHIN, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES,
    USER_TIMEOUT,
};
use crate::error::StoreError;

/// Something that was committed and that other coordinators may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A job under this queue key became pending.
    Pending(QueueKeyId),
    /// A job under this queue key became pending and is reserved for one runner for now.
    Reserved(QueueKeyId),
    /// A job's state or trace changed.
    Job(JobId),
    /// Signals may have been lost: check everything.
    Resync,
}

const CHANNEL: &str = "slipway";
/// How many signals fit into one payload. PostgreSQL allows 8,000 bytes.
const MAX_BATCH: usize = 300;
/// How often a silent connection is checked.
const CHECK_EVERY: Duration = Duration::from_secs(5);
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Signals {
    outgoing: Option<mpsc::UnboundedSender<Signal>>,
    incoming: broadcast::Sender<Signal>,
}

impl Signals {
    /// Connects, and stays connected while a clone of the handle exists.
    pub(crate) async fn start(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let (incoming, _) = broadcast::channel(1024);
        let DatabaseUrl::Postgres(url) = url else {
            return Ok(Self {
                outgoing: None,
                incoming,
            });
        };
        // Connecting here makes the start fail if the server cannot be reached.
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
            // Sending fails only while the runtime shuts down.
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
        let mut config: Config = url.parse()?;
        config
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(USER_TIMEOUT);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_WITHIN);
        }
        let (client, mut connection) = config.connect(NoTls).await?;
        let (forward, messages) = mpsc::unbounded_channel();
        // The client makes progress only while the connection is polled.
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

    /// Asks the server for an answer.
    async fn check(&self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute("SELECT 1").await
    }

    async fn notify(&self, signals: &[Signal]) -> Result<(), tokio_postgres::Error> {
        let payload: Vec<String> = signals.iter().filter_map(encode).collect();
        self.client
            .execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &payload.join(" ")])
            .await
            .map(drop)
    }
}

/// Passes signals on in both directions, and reconnects, until the last handle is dropped.
async fn run(
    url: String,
    mut session: Session,
    mut queued: mpsc::UnboundedReceiver<Signal>,
    incoming: broadcast::Sender<Signal>,
) {
    loop {
        match exchange(&mut session, &mut queued, &incoming).await {
            Ended::NoHandles => return,
            Ended::Disconnected => {
                tracing::warn!("Lost the connection for signals between coordinators; reconnecting")
            }
        }
        session = loop {
            tokio::time::sleep(RECONNECT_PAUSE).await;
            match tokio::time::timeout(ANSWER_WITHIN, Session::connect(&url)).await {
                Ok(Ok(session)) => break session,
                Ok(Err(error)) => {
                    tracing::debug!(error = %error, "Could not reconnect for signals; trying again")
                }
                Err(_) => {
                    tracing::debug!("The database did not answer for signals; trying again")
                }
            }
        };
        // Having no receiver is not an error: there is none at startup and in some tests.
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
                if !answers(session.notify(&batch)).await {
                    return Ended::Disconnected;
                }
                batch.clear();
            }
            // A connection whose packets are dropped stays silent, like one without signals.
            () = tokio::time::sleep(CHECK_EVERY) => {
                if !answers(session.check()).await {
                    return Ended::Disconnected;
                }
            }
            message = session.messages.recv() => match message {
                None => return Ended::Disconnected,
                // PostgreSQL also delivers a session's own notifications to it.
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

/// Whether a request to the database succeeds within [`ANSWER_WITHIN`].
async fn answers<T, E>(request: impl Future<Output = Result<T, E>>) -> bool {
    matches!(
        tokio::time::timeout(ANSWER_WITHIN, request).await,
        Ok(Ok(_))
    )
}

fn encode(signal: &Signal) -> Option<String> {
    match signal {
        Signal::Pending(key) => Some(format!("q{key}")),
        Signal::Reserved(key) => Some(format!("k{key}")),
        Signal::Job(job) => Some(format!("j{job}")),
        // Never sent: each coordinator tells only itself that it may have missed signals.
        Signal::Resync => None,
    }
}

fn decode(word: &str) -> Option<Signal> {
    match word.split_at_checked(1)? {
        ("q", id) => id.parse().ok().map(Signal::Pending),
        ("k", id) => id.parse().ok().map(Signal::Reserved),
        ("j", id) => id.parse().ok().map(Signal::Job),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_round_trip_and_invalid_words_are_ignored() {
        let key = QueueKeyId(7);
        for signal in [
            Signal::Pending(key),
            Signal::Reserved(key),
            Signal::Job(JobId(9)),
        ] {
            assert_eq!(decode(&encode(&signal).unwrap()), Some(signal));
        }
        for invalid in ["", "q", "x1", "qé", "ü"] {
            assert_eq!(decode(invalid), None, "{invalid}");
        }
    }
}
