//! Pieces of a trace, as all its followers share them: whole characters, and never too many.

use std::any::TypeId;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// A piece of a trace, without the secrets. It ends between two characters, unless the trace ends
/// within one.
#[derive(Debug)]
pub struct TracePiece {
    start: u64,
    bytes: Bytes,
    at: Option<DateTime<Utc>>,
    /// What the dialects made of it.
    said: Mutex<Vec<(TypeId, Bytes)>>,
}

impl TracePiece {
    pub(crate) fn new(start: u64, bytes: Bytes, at: Option<DateTime<Utc>>) -> Self {
        Self {
            start,
            bytes,
            at,
            said: Mutex::default(),
        }
    }

    /// Where it begins in the trace.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Where it ends: the offset of the byte after it.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// When it came, where that is known.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        self.at
    }

    /// What `say` makes of the piece, which it does once for all followers who ask for `Form`.
    pub fn said<Form: 'static>(&self, say: impl FnOnce(&Self) -> Bytes) -> Bytes {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let form = TypeId::of::<Form>();
        if let Some((_, bytes)) = said.iter().find(|(known, _)| *known == form) {
            return bytes.clone();
        }
        let bytes = say(self);
        said.push((form, bytes.clone()));
        bytes
    }

    /// What of it begins at `offset`, which lies in it.
    pub(crate) fn from(self: &Arc<Self>, offset: u64) -> Arc<Self> {
        if offset <= self.start {
            return Arc::clone(self);
        }
        let told = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let rest = self.bytes.slice(told.min(self.bytes.len())..);
        Arc::new(Self::new(offset, rest, self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_made_once() {
        struct Form;
        let piece = TracePiece::new(0, Bytes::from_static(b"a"), None);
        let made = piece.said::<Form>(|_| Bytes::from_static(b"made"));
        assert_eq!(piece.said::<Form>(|_| unreachable!()), made);
    }
}
