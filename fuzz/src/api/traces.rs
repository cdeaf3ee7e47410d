//! Sends a trace in arbitrary chunks.
//!
//! An input is a list of chunks, each ended by a line of `%%`: the value of `Content-Range`, and after
//! the first line break the bytes.

use super::{Api, Request};
use crate::Run;

/// The most chunks of one input.
const MAX_CHUNKS: usize = 20;

/// A chunk is appended as a whole or not at all, and the answer says how much is stored.
pub(crate) fn start() -> Run {
    let mut api = Api::start();
    Box::new(move |input| {
        api.claim();
        let mut stored = 0;
        for chunk in chunks(input).take(MAX_CHUNKS) {
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let (range, bytes) = chunk.split_at(end.unwrap_or(chunk.len()));
            let bytes = bytes.get(1..).unwrap_or_default();
            let Some(now) = append(&api, range, bytes) else {
                continue;
            };
            let most = stored + bytes.len();
            assert!(
                (stored..=most).contains(&now),
                "{now} after {stored}..={most}"
            );
            stored = now;
        }
    })
}

/// Sends one chunk. Returns how much is stored then; `None` if the answer does not say it.
fn append(api: &Api, range: &[u8], bytes: &[u8]) -> Option<usize> {
    let mut head = b"PATCH /ci/api/v1/builds/{job_id}/trace.txt\n\
        build-token: {job}\ncontent-type: text/plain\ncontent-range: "
        .to_vec();
    head.extend_from_slice(range);
    let answer = api.send(&Request {
        head: &head,
        body: bytes,
    })?;
    let (_, end) = answer.header("range")?.split_once('-')?;
    end.parse().ok()
}

fn chunks(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(input);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.windows(3).position(|part| part == b"%%\n");
        let (chunk, after) = text.split_at(end.unwrap_or(text.len()));
        rest = after.get(3..).filter(|after| !after.is_empty());
        Some(chunk)
    })
}
