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

/// A refused stream, in the stream's own shape and in that of all errors.
#[derive(Debug, Serialize)]
pub(crate) struct Refusal<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    pub(crate) error: Error<'a>,
}

/// The envelope of an error.
#[derive(Debug, Serialize)]
pub(crate) struct Error<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
}
