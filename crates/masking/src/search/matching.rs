//! Compares the output with one secret, from one place on.
//!
//! A place may be read in several ways, so a match follows all of them at once. It is suspended at the
//! end of the output, and resumed when more arrives.

use crate::search::forms::{Form, Gap, Pattern};
use crate::search::readings::{Readings, is_special};
use crate::search::stream::View;
use crate::texts::Texts;

/// The most ways to read the output that one match follows at once.
const MAX_STATES: usize = 64;
/// How many characters of an encoded secret are masked even if others follow than those of the secret,
/// because the lines of a wrapped text may be apart from each other.
pub(crate) const MIN_PIECE: usize = 24;
/// How many bytes of a secret at the end of the output are masked as the start of that secret. Fewer
/// reveal little and occur there by chance.
const MIN_PARTIAL: usize = 12;

/// A text and its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) text: u32,
    pub(crate) form: Form,
}

impl Target {
    pub(crate) fn pattern(self, texts: &Texts) -> Pattern<'_> {
        let Self { text, form } = self;
        let text = texts.get(text);
        Pattern { text, form }
    }
}

/// One way to read the output up to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The offset of the next byte to read.
    pub(crate) at: u64,
    /// The index of the character that is expected there.
    pub(crate) index: u32,
    pub(crate) gap: Gap,
}

/// Why a single state stops.
pub(crate) enum Stop {
    Complete,
    Mismatch,
    EndOfText,
    /// The byte may stand for something else, too.
    Ambiguous,
}

/// Where one state has come to.
pub(crate) struct Walk {
    pub(crate) state: State,
    pub(crate) stop: Stop,
    /// The state after the last character that certainly is one of the secret; its index is 0 if there
    /// is none.
    pub(crate) last: State,
}

/// Follows one state while there is a single way to read the output.
pub(crate) fn walk(pattern: Pattern<'_>, mut state: State, view: &View<'_>) -> Walk {
    let length = pattern.len() as u32;
    let mut last = State { index: 0, ..state };
    let stop = loop {
        if state.gap.is_char() {
            last = state;
        }
        if state.index >= length {
            last = state;
            break Stop::Complete;
        }
        let Some(byte) = view.byte(state.at) else {
            break Stop::EndOfText;
        };
        if is_special(byte) || matches!(state.gap, Gap::Prefix(_)) {
            break Stop::Ambiguous;
        }
        match pattern.step(state.index as usize, state.gap, byte) {
            Some((index, gap)) => {
                state = State {
                    at: state.at + 1,
                    index: index as u32,
                    gap,
                };
            }
            None => break Stop::Mismatch,
        }
    };
    Walk { state, stop, last }
}

/// How a match goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It depends on what follows.
    Open,
    Decided,
    /// There are more ways to read the output than a match follows.
    TooMany,
}

/// A match that is not decided at its first byte.
#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) target: Target,
    /// The offset of its first byte.
    pub(crate) start: u64,
    states: Vec<State>,
    /// The offset after the last byte of the secret; 0 if the end was not reached.
    end: u64,
    /// The state that got furthest.
    furthest: State,
    /// So much was held back for it that its bytes are masked without waiting for the rest.
    pub(crate) is_committed: bool,
}

impl Match {
    /// Continues a walk that began at `start`.
    pub(crate) fn new(target: Target, start: u64, walk: &Walk) -> Self {
        Self {
            target,
            start,
            states: vec![walk.state],
            end: 0,
            furthest: walk.last,
            is_committed: false,
        }
    }

    /// The offset of the first byte that is not certainly one of the match, or that is read again when
    /// more output arrives.
    pub(crate) fn resumes_at(&self) -> u64 {
        let furthest = self.furthest.at;
        let offsets = self.states.iter().map(|state| match state.gap {
            Gap::None | Gap::Once => state.at,
            Gap::Prefix(_) | Gap::Resumed(_) => state.at.min(furthest),
        });
        offsets.min().unwrap_or(furthest)
    }

    /// The offset after the last character of the secret that was read.
    pub(crate) fn read_to(&self) -> u64 {
        self.furthest.at
    }

    /// Reads on. Each byte that is read costs one of `credit`.
    pub(crate) fn run(&mut self, texts: &Texts, view: &View<'_>, credit: &mut i64) -> Progress {
        let pattern = self.target.pattern(texts);
        let length = pattern.len() as u32;
        let mut suspended: Vec<State> = Vec::new();
        // The state that is furthest behind goes first, so that equal ones are found.
        while let Some(next) = (0..self.states.len()).min_by_key(|at| self.states[*at].at) {
            let state = self.states.swap_remove(next);
            let from = state.at;
            let Walk { state, stop, last } = walk(pattern, state, view);
            *credit -= 1 + (state.at - from) as i64;
            if last.index > self.furthest.index {
                self.furthest = last;
            }
            if state.at - self.start > view.max_span {
                continue;
            }
            match stop {
                Stop::Complete => self.end = self.end.max(state.at),
                Stop::Mismatch => {}
                Stop::EndOfText => suspended.push(state),
                Stop::Ambiguous => {
                    let readings = Readings::of(view.from(state.at));
                    if readings.is_open && !view.is_last {
                        suspended.push(state);
                        continue;
                    }
                    self.skip_prefix(state, view);
                    for reading in readings.list() {
                        let next = read(pattern, state, reading.bytes(), length);
                        if let Some((index, gap)) = next {
                            let at = state.at + reading.length() as u64;
                            self.add(State { at, index, gap });
                        }
                    }
                }
            }
            if self.states.len() + suspended.len() > MAX_STATES || *credit < 0 {
                return Progress::TooMany;
            }
        }
        self.states = suspended;
        if self.states.is_empty() || view.is_last {
            Progress::Decided
        } else {
            Progress::Open
        }
    }

    fn skip_prefix(&mut self, state: State, view: &View<'_>) {
        if let Gap::Prefix(left) = state.gap
            && left > 0
            && view.byte(state.at) != Some(b'\n')
        {
            let (at, gap) = (state.at + 1, Gap::Prefix(left - 1));
            self.add(State { at, gap, ..state });
        }
    }

    fn add(&mut self, state: State) {
        if !self.states.contains(&state) {
            self.states.push(state);
        }
    }

    /// The offset up to which the bytes from [`Match::start`] on are masked; `None` if they are no
    /// secret.
    pub(crate) fn masked_to(&self, texts: &Texts, view: &View<'_>) -> Option<u64> {
        let pattern = self.target.pattern(texts);
        let read = self.furthest.index as usize;
        let is_piece = pattern.form != Form::Plain && read >= MIN_PIECE;
        let is_partial =
            view.is_last && self.furthest.at == view.end() && pattern.bytes_in(read) >= MIN_PARTIAL;
        if self.is_committed || is_piece || is_partial {
            Some(self.furthest.at.max(self.end))
        } else {
            (self.end > 0).then_some(self.end)
        }
    }
}

/// Reads the bytes that an escape stands for. No bytes stand for a change of quotes.
fn read(pattern: Pattern<'_>, state: State, bytes: &[u8], length: u32) -> Option<(u32, Gap)> {
    let (mut index, mut gap) = (state.index, state.gap);
    if bytes.is_empty() {
        let may_change = gap == Gap::None && pattern.may_change_quotes(index as usize);
        return may_change.then_some((index, Gap::Once));
    }
    for byte in bytes {
        if index >= length {
            return None;
        }
        let (next, after) = pattern.step(index as usize, gap, *byte)?;
        (index, gap) = (next as u32, after);
    }
    Some((index, gap))
}
