//! Pieces of a trace, which all its followers share.

use std::any::TypeId;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// A piece of a trace with the secrets masked. It ends between two characters, unless the trace ends
/// within one.
#[derive(Debug)]
pub struct TracePiece {
    start: u64,
    bytes: Bytes,
    at: Option<DateTime<Utc>>,
    /// What the dialects encoded the piece as.
    encodings: Mutex<Vec<(TypeId, Bytes)>>,
}

impl TracePiece {
    pub(crate) fn new(start: u64, bytes: Bytes, at: Option<DateTime<Utc>>) -> Self {
        Self {
            start,
            bytes,
            at,
            encodings: Mutex::default(),
        }
    }

    /// The offset of the first byte in the trace.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The offset of the byte after the last one.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// When the bytes arrived, if that is known.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        self.at
    }

    /// The piece in the encoding that `Form` stands for. `encode` runs once; all other followers
    /// that ask for `Form` share its result.
    pub fn encoded<Form: 'static>(&self, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        let mut encodings = self
            .encodings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let form = TypeId::of::<Form>();
        if let Some((_, bytes)) = encodings.iter().find(|(known, _)| *known == form) {
            return bytes.clone();
        }
        let bytes = encode(self);
        encodings.push((form, bytes.clone()));
        bytes
    }

    /// The part of the piece from `offset` on, which must lie within it.
    pub(crate) fn from(self: &Arc<Self>, offset: u64) -> Arc<Self> {
        if offset <= self.start {
            return Arc::clone(self);
        }
        let skipped = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let rest = self.bytes.slice(skipped.min(self.bytes.len())..);
        Arc::new(Self::new(offset, rest, self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_computed_once() {
        struct Form;
        let piece = TracePiece::new(0, Bytes::from_static(b"a"), None);
        let encoded = piece.encoded::<Form>(|_| Bytes::from_static(b"encoded"));
        assert_eq!(piece.encoded::<Form>(|_| unreachable!()), encoded);
    }
}
