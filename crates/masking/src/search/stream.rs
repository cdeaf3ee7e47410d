//! Output that arrives in pieces: what is held back of it, and what was found in it.
//!
//! These always hold:
//!
//! * Every offset before `next` was examined as the first byte of a secret. If a secret may begin
//!   there, a match is open or its range is known.
//! * Output is passed on up to the first byte that is not decided: `next`, or the start of an open
//!   match. What is masked anyway is passed on without waiting for that.
//! * What is held back is at most [`MAX_HELD_BACK`] and the longest escape. A match that is longer is
//!   masked as far as it goes, and costs a fixed amount of memory.
//! * Reading costs credit, which grows with the output. Without credit, or with too much to follow,
//!   everything is masked up to the end of the line: it is not passed on unread.

use std::ops::Range;

use crate::search::Search;
use crate::search::forms::{Form, Gap, MAX_AREA};
use crate::search::matching::{MIN_PIECE, Match, Progress, State, Stop, Target, Walk, walk};
use crate::search::opening::{NEAR, Opening, Start};
use crate::search::pieces::{Piece, Recent};
use crate::search::readings::Readings;

/// How much output is held back for one match, in bytes.
pub(crate) const MAX_HELD_BACK: u64 = 8 * 1024;
/// How much output is searched at once, in bytes.
const BLOCK: usize = 64 * 1024;
/// The most matches, and pieces, that are open at once.
const MAX_OPEN: usize = 1024;
/// How many bytes may be compared for each byte of output, and how many can be saved up.
const CREDIT_PER_BYTE: i64 = 256;
const MAX_CREDIT: i64 = 4 << 20;
/// How many examined positions are remembered: at least as many as an escape is examined from.
const EXAMINED: usize = 8;
const _: () = assert!(EXAMINED > MAX_AREA);

/// Takes what was decided, in order.
pub(crate) trait Sink {
    /// Bytes that are no secret.
    fn show(&mut self, bytes: &[u8]);
    /// So many bytes that belong to secrets. `is_new` is false if they continue the ones before.
    fn hide(&mut self, count: usize, is_new: bool);
}

/// The output that is in memory.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) text: &'a [u8],
    /// The offset of its first byte.
    pub(crate) base: u64,
    /// Whether nothing follows.
    pub(crate) is_last: bool,
    /// The most bytes that one match spans.
    pub(crate) max_span: u64,
}

impl<'a> View<'a> {
    pub(crate) fn end(&self) -> u64 {
        self.base + self.text.len() as u64
    }

    pub(crate) fn byte(&self, at: u64) -> Option<u8> {
        self.text.get(self.index(at)).copied()
    }

    pub(crate) fn from(&self, at: u64) -> &'a [u8] {
        &self.text[self.index(at)..]
    }

    /// The index of the byte at an offset. What is before the text was passed on.
    fn index(&self, at: u64) -> usize {
        (at - self.base) as usize
    }
}

/// One stream of output.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// What is held back, and its offset.
    tail: Vec<u8>,
    base: u64,
    found: Found,
}

/// What was found in the output.
#[derive(Debug)]
struct Found {
    /// The first offset that was not examined.
    next: u64,
    /// Output was passed on up to here.
    shown: u64,
    /// Everything up to here is masked, from an offset before `shown` on.
    covered: u64,
    ranges: Vec<Range<u64>>,
    matches: Vec<Match>,
    pieces: Vec<Piece>,
    recent: Recent,
    credit: i64,
    /// Everything is masked up to the end of the line.
    is_closed: bool,
    /// Where anchors may be in the current block.
    hits: Vec<usize>,
    /// The first offset that must be examined again, with more output.
    undecided: u64,
    /// The positions in the current block that were examined last: escapes near each other share them.
    examined: [usize; EXAMINED],
}

impl Default for Found {
    fn default() -> Self {
        Self {
            next: 0,
            shown: 0,
            covered: 0,
            ranges: Vec::new(),
            matches: Vec::new(),
            pieces: Vec::new(),
            recent: Recent::default(),
            credit: MAX_CREDIT,
            is_closed: false,
            hits: Vec::new(),
            undecided: u64::MAX,
            examined: [usize::MAX; EXAMINED],
        }
    }
}

impl Stream {
    /// Takes more output, and passes on what is decided.
    pub(crate) fn push(&mut self, search: &Search, output: &[u8], sink: &mut impl Sink) {
        for block in output.chunks(BLOCK) {
            self.scan(search, block, false, sink);
        }
    }

    /// Ends the stream, and passes on the rest.
    pub(crate) fn finish(&mut self, search: &Search, sink: &mut impl Sink) {
        self.scan(search, &[], true, sink);
    }

    /// What is held back.
    pub(crate) fn held_back(&self) -> &[u8] {
        let known = (self.found.shown - self.base) as usize;
        self.tail.get(known..).unwrap_or_default()
    }

    fn scan(&mut self, search: &Search, output: &[u8], is_last: bool, sink: &mut impl Sink) {
        let credit = self.found.credit + CREDIT_PER_BYTE * output.len() as i64;
        self.found.credit = credit.min(MAX_CREDIT);
        if !self.tail.is_empty() {
            self.tail.extend_from_slice(output);
        }
        let is_joined = !self.tail.is_empty();
        let view = View {
            text: if is_joined { &self.tail } else { output },
            base: self.base,
            is_last,
            max_span: search.max_span,
        };
        self.found.search(search, &view);
        let decided = self.found.decided_to(&view);
        self.found.pass_on(&view, decided, sink);
        let count = (decided - self.base) as usize;
        self.base = decided;
        if is_joined {
            self.tail.drain(..count);
            // One large piece of output must not occupy memory for the rest of the stream.
            self.tail.shrink_to(BLOCK);
        } else {
            self.tail.extend_from_slice(&output[count..]);
        }
    }
}

impl Found {
    fn search(&mut self, search: &Search, view: &View<'_>) {
        self.undecided = u64::MAX;
        self.examined = [usize::MAX; EXAMINED];
        if self.is_closed {
            self.open(view);
        }
        self.resume(search, view);
        let from = (self.next - view.base) as usize;
        self.find_plain(search, view, from);
        self.find_escaped(search, view, from);
        self.find_at_end(search, view, from);
        self.next = view.end().min(self.undecided);
        if self.credit < 0 || self.matches.len() > MAX_OPEN || self.pieces.len() > MAX_OPEN {
            self.close(view);
        }
    }

    /// Masks everything that is not passed on yet, and everything up to the end of the line.
    fn close(&mut self, view: &View<'_>) {
        self.matches.clear();
        self.pieces.clear();
        self.ranges.push(self.shown..view.end());
        self.next = view.end();
        self.credit = MAX_CREDIT;
        self.is_closed = true;
    }

    fn open(&mut self, view: &View<'_>) {
        let line_end = memchr::memchr(b'\n', view.from(self.next));
        let end = line_end.map_or(view.end(), |at| self.next + at as u64);
        if self.next < end {
            // One byte earlier, so that it continues the mask before it.
            self.ranges.push(self.next.saturating_sub(1)..end);
        }
        self.next = end;
        self.is_closed = line_end.is_none();
    }

    /// Goes on with what was open.
    fn resume(&mut self, search: &Search, view: &View<'_>) {
        for mut open in std::mem::take(&mut self.matches) {
            let progress = open.run(&search.texts, view, &mut self.credit);
            self.add_match(search, view, open, progress);
        }
        for mut piece in std::mem::take(&mut self.pieces) {
            let is_open = piece.extend(&search.texts, view);
            self.ranges.push(piece.start..piece.end);
            if is_open {
                self.pieces.push(piece);
            }
        }
    }

    fn add_match(&mut self, search: &Search, view: &View<'_>, open: Match, progress: Progress) {
        let mut open = open;
        match progress {
            Progress::TooMany => self.credit = -1,
            Progress::Decided => {
                if let Some(end) = open.masked_to(&search.texts, view) {
                    self.ranges.push(open.start..end);
                }
            }
            Progress::Open => {
                open.is_committed |= view.end() - open.start > MAX_HELD_BACK;
                if open.is_committed {
                    self.ranges.push(open.start..open.read_to());
                }
                self.matches.push(open);
            }
        }
    }

    /// Finds secrets that begin without an escape.
    fn find_plain(&mut self, search: &Search, view: &View<'_>, from: usize) {
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        search.index.sample(view.text, from, &mut hits);
        for at in &hits {
            for anchor in search.index.anchors(window(&view.text[*at..])) {
                let start = at.wrapping_sub(usize::from(anchor.back));
                if start >= from && start <= *at {
                    let start = view.base + start as u64;
                    self.try_start(search, view, anchor.target, anchor.index, start);
                }
            }
            if self.credit < 0 {
                break;
            }
        }
        self.hits = hits;
    }

    /// Finds secrets that have an escape among their first bytes.
    fn find_escaped(&mut self, search: &Search, view: &View<'_>, from: usize) {
        let text = &view.text[from..];
        for at in memchr::memchr3_iter(b'%', b'\\', b'&', text) {
            self.find_around(search, view, from, from + at);
        }
        if search.index.has_quoted {
            for at in memchr::memchr2_iter(b'\'', b'\r', text) {
                if text[..at].ends_with(b"\"") {
                    self.find_around(search, view, from, from + at - 1);
                }
                self.find_around(search, view, from, from + at);
            }
            if text.ends_with(b"\"") {
                self.find_around(search, view, from, view.text.len() - 1);
            }
        }
    }

    /// Examines the positions, from `from` on, from which a secret may have its first escape at `at`.
    /// Nothing needs to be examined if that byte is no escape: then it is found without this.
    fn find_around(&mut self, search: &Search, view: &View<'_>, from: usize, at: usize) {
        if self.credit < 0 {
            return;
        }
        let (index, text) = (&search.index, view.text);
        let first = (at + 1).saturating_sub(index.area()).max(from);
        let readings = Readings::of(&text[at..]);
        if readings.is_open && !view.is_last {
            for start in first..=at {
                self.examine(search, view, start);
            }
            return;
        }
        for start in first..at.saturating_sub(NEAR - 1) {
            if index.may_start_with(&text[start..start + NEAR]) {
                self.examine(search, view, start);
            }
        }
        let near = first.max(at.saturating_sub(NEAR - 1));
        for reading in &readings.list()[1..] {
            let start = Start::new(&text[near..at], reading, &text[at + reading.length()..]);
            for position in near..=at {
                if index.may_start_with(start.from(position - near)) {
                    self.examine(search, view, position);
                }
            }
        }
    }

    /// Finds secrets that begin so near to the end that a sample may not have met them.
    fn find_at_end(&mut self, search: &Search, view: &View<'_>, from: usize) {
        let first = (view.text.len() + 1).saturating_sub(search.index.area());
        for start in first.max(from)..view.text.len() {
            if search.index.may_start_at(&view.text[start..]) {
                self.examine(search, view, start);
            }
        }
    }

    /// Examines one position, with all ways to read the first bytes there.
    fn examine(&mut self, search: &Search, view: &View<'_>, start: usize) {
        let examined = &mut self.examined[start % EXAMINED];
        if std::mem::replace(examined, start) == start {
            return;
        }
        let index = &search.index;
        let mut windows = Vec::new();
        let is_open = Opening::default().read(index, view, start, &mut windows);
        let start = view.base + start as u64;
        if is_open {
            self.undecided = self.undecided.min(start);
        }
        for window in windows {
            self.credit -= 8;
            for anchor in index.anchors(window).filter(|anchor| anchor.back == 0) {
                self.try_start(search, view, anchor.target, anchor.index, start);
            }
        }
    }

    /// Compares the output from `start` on with the secret, whose character at `index` may be there.
    fn try_start(
        &mut self,
        search: &Search,
        view: &View<'_>,
        target: Target,
        index: u32,
        start: u64,
    ) {
        if index > 0 {
            return self.try_piece(search, view, target, index as usize, start);
        }
        let state = State {
            at: start,
            index,
            gap: Gap::None,
        };
        let found: Walk = walk(target.pattern(&search.texts), state, view);
        self.credit -= 1 + (found.state.at - start) as i64;
        match found.stop {
            Stop::Complete => self.ranges.push(start..found.state.at),
            Stop::Mismatch => {
                if target.form != Form::Plain && found.last.index as usize >= MIN_PIECE {
                    self.ranges.push(start..found.last.at);
                }
            }
            Stop::EndOfText | Stop::Ambiguous => {
                let is_known = |open: &Match| open.target == target && open.start == start;
                if !self.matches.iter().any(is_known) {
                    let mut open = Match::new(target, start, &found);
                    let progress = open.run(&search.texts, view, &mut self.credit);
                    self.add_match(search, view, open, progress);
                }
            }
        }
    }

    fn try_piece(
        &mut self,
        search: &Search,
        view: &View<'_>,
        target: Target,
        index: usize,
        at: u64,
    ) {
        if self.recent.contains(target, index, at) {
            return;
        }
        let piece = Piece::around(target, index, at, &search.texts, view);
        self.credit -= 1 + (piece.end - piece.start) as i64;
        let is_open = piece.is_open(&search.texts, view);
        if piece.is_masked(&search.texts) {
            self.ranges.push(piece.start..piece.end);
            self.recent.add(piece);
            if is_open {
                self.pieces.push(piece);
            }
        } else if is_open {
            self.undecided = self.undecided.min(piece.start);
        }
    }

    /// The offset up to which all output is decided.
    fn decided_to(&self, view: &View<'_>) -> u64 {
        if view.is_last {
            return view.end();
        }
        let open = self.matches.iter().map(|open| {
            if open.is_committed {
                open.resumes_at()
            } else {
                open.start
            }
        });
        open.fold(self.next, u64::min)
    }

    /// Passes on the output before `end`.
    fn pass_on(&mut self, view: &View<'_>, end: u64, sink: &mut impl Sink) {
        self.ranges.sort_unstable_by_key(|range| range.start);
        let mut kept = 0;
        for at in 0..self.ranges.len() {
            let range = self.ranges[at].clone();
            if range.start >= end.max(self.covered) {
                self.ranges.swap(kept, at);
                kept += 1;
                continue;
            }
            let is_new = range.start >= self.covered;
            if is_new {
                let start = range.start.max(self.shown);
                self.hide_to(self.covered.min(start), false, sink);
                self.show_to(view, start, sink);
                self.covered = range.end.max(start);
                self.hide_to(self.covered.min(end), true, sink);
            } else {
                self.covered = self.covered.max(range.end);
            }
        }
        self.ranges.truncate(kept);
        // Bytes that are masked anyway need not wait, even if more may begin among them.
        self.hide_to(self.covered.min(view.end()), false, sink);
        self.show_to(view, end, sink);
    }

    fn hide_to(&mut self, end: u64, is_new: bool, sink: &mut impl Sink) {
        if end > self.shown {
            sink.hide((end - self.shown) as usize, is_new);
            self.shown = end;
        }
    }

    fn show_to(&mut self, view: &View<'_>, end: u64, sink: &mut impl Sink) {
        if end > self.shown {
            sink.show(&view.text[view.index(self.shown)..view.index(end)]);
            self.shown = end;
        }
    }
}

fn window(text: &[u8]) -> u32 {
    text.first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
