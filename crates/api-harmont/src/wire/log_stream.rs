//! The log stream: its chunks and its query parameters.

use serde::{Deserialize, Serialize};

/// A chunk of a log, as JSON inside of an event.
#[derive(Debug, Serialize)]
pub(crate) struct Chunk<'a> {
    /// The offset in the trace after this chunk, in bytes. Clients only require that it grows.
    pub(crate) seq: u64,
    /// Always 0: traces do not separate standard output from standard error.
    pub(crate) stream_kind: u8,
    pub(crate) content: &'a str,
    /// When the chunk was received, in nanoseconds of Unix time.
    pub(crate) ts: Option<i64>,
}

/// The query parameters of the log stream.
#[derive(Deserialize)]
pub(crate) struct StreamQuery {
    #[serde(default)]
    pub(crate) token: String,
    pub(crate) last_event_id: Option<String>,
}
