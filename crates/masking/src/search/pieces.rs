//! Lines of base64 and hexadecimal text that contain a part of a secret, wherever its beginning is.

use crate::search::forms::{Gap, Pattern};
use crate::search::matching::{MIN_PIECE, Target};
use crate::search::stream::View;
use crate::texts::Texts;

/// How many characters are masked if they are the end of an encoded secret.
const MIN_END: usize = 12;
/// How many pieces are remembered, so that each anchor of a long one does not read it again.
const REMEMBERED: usize = 8;

/// A part of an encoded secret without any break.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    target: Target,
    /// The offset of its first byte.
    pub(crate) start: u64,
    /// The offset after its last byte, and the index of the character that is expected there.
    pub(crate) end: u64,
    next: usize,
    length: usize,
}

impl Piece {
    /// Reads the characters around the one at `index`, which is at the offset `at`.
    pub(crate) fn around(
        target: Target,
        index: usize,
        at: u64,
        texts: &Texts,
        view: &View<'_>,
    ) -> Self {
        let pattern = target.pattern(texts);
        let (mut start, mut first) = (at, index);
        while first > 0 && start > view.base && fits(pattern, first - 1, view.byte(start - 1)) {
            start -= 1;
            first -= 1;
        }
        let mut piece = Self {
            target,
            start,
            end: at,
            next: index,
            length: index - first,
        };
        piece.extend(texts, view);
        piece
    }

    /// Reads further characters. Returns whether more may follow.
    pub(crate) fn extend(&mut self, texts: &Texts, view: &View<'_>) -> bool {
        let pattern = self.target.pattern(texts);
        let whole = pattern.len();
        while self.next < whole && fits(pattern, self.next, view.byte(self.end)) {
            self.next += 1;
            self.end += 1;
            self.length += 1;
        }
        self.is_open(texts, view)
    }

    /// Whether more of it may follow after the end of the text.
    pub(crate) fn is_open(&self, texts: &Texts, view: &View<'_>) -> bool {
        let whole = self.target.pattern(texts).len();
        self.next < whole && self.end == view.end() && !view.is_last
    }

    /// Whether it is long enough to be masked.
    pub(crate) fn is_masked(&self, texts: &Texts) -> bool {
        let is_end = self.next == self.target.pattern(texts).len();
        self.length >= MIN_PIECE || (is_end && self.length >= MIN_END)
    }

    /// Whether the character at `index` is part of this piece if it is at the offset `at`.
    fn contains(&self, target: Target, index: usize, at: u64) -> bool {
        let distance = |offset: u64, index: usize| offset.wrapping_sub(index as u64);
        self.target == target
            && distance(self.end, self.next) == distance(at, index)
            && (self.start..self.end).contains(&at)
    }
}

fn fits(pattern: Pattern<'_>, index: usize, byte: Option<u8>) -> bool {
    let next = byte.and_then(|byte| pattern.step(index, Gap::None, byte));
    next == Some((index + 1, Gap::None))
}

/// The pieces that were read last.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    pieces: [Option<Piece>; REMEMBERED],
    oldest: usize,
}

impl Recent {
    pub(crate) fn contains(&self, target: Target, index: usize, at: u64) -> bool {
        let mut pieces = self.pieces.iter().flatten();
        pieces.any(|piece| piece.contains(target, index, at))
    }

    pub(crate) fn add(&mut self, piece: Piece) {
        self.pieces[self.oldest] = Some(piece);
        self.oldest = (self.oldest + 1) % REMEMBERED;
    }
}
