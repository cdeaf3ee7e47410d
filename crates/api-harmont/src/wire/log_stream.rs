//! The shapes of this API.

use serde::{Deserialize, Serialize};

/// A chunk of a log.
#[derive(Debug, Serialize)]
pub(crate) struct Chunk<'a> {
    /// Where the trace is after it. It grows, and any number of bytes can be resumed from.
    pub(crate) seq: u64,
    /// 0: traces do not keep output and errors apart.
    pub(crate) stream_kind: u8,
    pub(crate) content: &'a str,
    /// When it came, in nanoseconds of Unix time.
    pub(crate) ts: Option<i64>,
}

/// What a client of a stream may say in the URL.
#[derive(Deserialize)]
pub(crate) struct StreamQuery {
    #[serde(default)]
    pub(crate) token: String,
    pub(crate) last_event_id: Option<String>,
}
