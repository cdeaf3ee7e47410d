//! Where in the output a secret may begin.
//!
//! Every form of a secret begins with a few characters that are known. Each window of
//! [`WINDOW`] bytes of them is an anchor. The output is sampled so that one of the anchors is met
//! wherever they occur: with four windows in a row, every fourth position is enough. Letter case is
//! ignored, so that one anchor finds hexadecimal text in either case.
//!
//! Encoded forms have more anchors inside, for the lines of a wrapped text of which the beginning is
//! somewhere else. Of long secrets they are sparser, so that the size of the index is bounded.

use crate::search::forms::{Form, MAX_AREA, Pattern, is_quoted};
use crate::search::matching::Target;
use crate::search::readings::is_escape;
use crate::texts::Texts;

/// The length of an anchor, in bytes.
pub(crate) const WINDOW: usize = 4;
/// The greatest distance between two samples, in bytes.
const MAX_STRIDE: usize = 4;
/// The most ways to write the first characters of a form without an escape.
const MAX_SPELLINGS: usize = 16;
const _: () = assert!(MAX_AREA == WINDOW + MAX_STRIDE - 1);
/// The index of the first character whose anchors are inside of a form.
const FIRST_INSIDE: usize = MAX_AREA;
/// The distance between the anchors inside of a form, unless there are too many.
const INSIDE_EVERY: usize = 16;
/// The most anchors inside of forms.
const MAX_INSIDE: usize = 1 << 17;
/// How many texts are searched for in encoded forms, too. Whole secrets come first.
const MAX_ENCODED: usize = 1 << 12;
/// From how many texts on there is one anchor for each form.
const MANY_TEXTS: usize = 1 << 14;

/// The number of bits of a hash that the filter uses.
const FILTER_BITS: u32 = 18;
const FILTER_WORDS: usize = 1 << (FILTER_BITS - 6);

/// An occurrence of an anchor means that the form may have `index` as its character `back` bytes
/// before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    hash: u32,
    pub(crate) target: Target,
    pub(crate) index: u32,
    pub(crate) back: u8,
}

/// The anchors of all texts.
#[derive(Debug)]
pub(crate) struct Index {
    anchors: Vec<Anchor>,
    /// Where the anchors begin whose hash starts with these bits.
    buckets: Vec<u32>,
    bucket_bits: u32,
    filter: Box<[u64; FILTER_WORDS]>,
    /// The first three bytes of every anchor area as [`number`]s, sorted.
    starts: Vec<u32>,
    /// The bytes, and pairs of bytes, with which an anchor area starts.
    first: ByteSet,
    pairs: Box<[u64; 1024]>,
    /// The hashes of the first three bytes.
    triples: Box<[u64; FILTER_WORDS]>,
    /// Whether shells write a character in an anchor area with a change of quotes, or terminals a line
    /// break in one with a carriage return.
    pub(crate) has_quoted: bool,
    pub(crate) stride: usize,
}

/// A set of bytes.
#[derive(Clone, Debug)]
struct ByteSet([bool; 256]);

impl Default for ByteSet {
    fn default() -> Self {
        Self([false; 256])
    }
}

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte)] = true;
    }

    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }
}

impl Index {
    pub(crate) fn new(texts: &Texts) -> Self {
        let shortest = texts.lengths().min().unwrap_or(MAX_AREA);
        let encoded = Pattern {
            text: &[0; MAX_AREA][..shortest.min(MAX_AREA)],
            form: Form::Base64(4),
        };
        let stride = match encoded.len().min(shortest).saturating_sub(WINDOW - 1) {
            _ if texts.len() > MANY_TEXTS => 1,
            most => most.clamp(1, MAX_STRIDE),
        };
        let mut index = Self {
            anchors: Vec::new(),
            buckets: Vec::new(),
            bucket_bits: 0,
            filter: Box::new([0; FILTER_WORDS]),
            starts: Vec::new(),
            first: ByteSet::default(),
            pairs: Box::new([0; 1024]),
            triples: Box::new([0; FILTER_WORDS]),
            has_quoted: false,
            stride,
        };
        let distance = distance_inside(texts, stride);
        for text in 0..texts.len() {
            for form in Form::ALL {
                if form == Form::Plain || text < MAX_ENCODED {
                    let target = Target {
                        text: text as u32,
                        form,
                    };
                    index.add_target(target, target.pattern(texts), distance);
                }
            }
        }
        index.finish();
        index
    }

    /// How many bytes from the start of a form on its anchors cover.
    pub(crate) fn area(&self) -> usize {
        WINDOW + self.stride - 1
    }

    fn add_target(&mut self, target: Target, pattern: Pattern<'_>, distance: usize) {
        let length = pattern.len();
        let size = self.area();
        let area = |from: usize| -> Vec<u8> {
            let end = length.min(from + size);
            (from..end).map(|at| pattern.char(at)).collect()
        };
        let start = area(0);
        self.has_quoted |= target.form == Form::Plain && start.iter().any(|byte| is_quoted(*byte));
        let inside = (FIRST_INSIDE..length)
            .step_by(distance)
            .take_while(|from| pattern.may_be_wrapped() && from + size <= length);
        let mut areas = Vec::new();
        match target.form {
            Form::Plain => {
                areas.extend(plain_spellings(&start).into_iter().map(|text| (0, text)));
                // An escape may follow spellings that are too many for anchors of their own.
                for text in plain_spellings(&start[..start.len().min(3)]) {
                    self.add_start(&text);
                }
            }
            Form::Hex => {
                let spread = [(b' ', 2), (b':', 2), (b' ', 4)].map(|(separator, every)| {
                    let digits = start.chunks(every).collect::<Vec<_>>();
                    (0, digits.join(&separator))
                });
                areas.extend(spread);
                areas.push((0, start));
                areas.extend(inside.map(|from| (from, area(from))));
            }
            Form::Base64(_) => {
                areas.push((0, start));
                areas.extend(inside.map(|from| (from, area(from))));
                let url_safe: Vec<_> = areas
                    .iter()
                    .map(|(from, text)| (*from, text.iter().map(|byte| url_safe(*byte)).collect()))
                    .collect();
                areas.extend(url_safe);
            }
        }
        areas.sort_unstable();
        areas.dedup();
        for (from, text) in areas {
            self.add_area(target, from, &text);
            if target.form == Form::Hex {
                self.add_start(&text.to_ascii_uppercase());
            }
        }
    }

    fn add_area(&mut self, target: Target, from: usize, text: &[u8]) {
        self.add_start(text);
        for (back, window) in text.windows(WINDOW).take(self.stride).enumerate() {
            let Some(window) = window.first_chunk() else {
                continue;
            };
            let hash = hash(u32::from_le_bytes(*window));
            set(&mut self.filter, hash);
            self.anchors.push(Anchor {
                hash,
                target,
                index: from as u32,
                back: back as u8,
            });
        }
    }

    fn add_start(&mut self, text: &[u8]) {
        if let Some(start) = text.first_chunk() {
            self.starts.push(number(*start));
            set(&mut self.triples, hash_of_three(*start));
        }
        if let [first, second, ..] = text {
            self.first.insert(*first);
            let (word, bit) = pair(*first, *second);
            self.pairs[word] |= bit;
        }
    }

    fn finish(&mut self) {
        self.starts.sort_unstable();
        self.starts.dedup();
        self.anchors.sort_unstable_by_key(|anchor| anchor.hash);
        self.anchors.shrink_to_fit();
        // Most buckets are empty, so that a false alarm of the filter rarely reads an anchor.
        self.bucket_bits = (self.anchors.len().max(2).ilog2() + 2).min(20);
        let shift = 32 - self.bucket_bits;
        let first = |bucket: u32| {
            let before = |anchor: &Anchor| anchor.hash >> shift < bucket;
            self.anchors.partition_point(before) as u32
        };
        self.buckets = (0..=1 << self.bucket_bits).map(first).collect();
    }

    /// The anchors that equal this window, apart from letter case.
    pub(crate) fn anchors(&self, window: u32) -> impl Iterator<Item = &Anchor> + Clone {
        let hash = hash(window);
        let found = if is_set(&self.filter, hash) {
            let bucket = (hash >> (32 - self.bucket_bits)) as usize;
            &self.anchors[self.buckets[bucket] as usize..self.buckets[bucket + 1] as usize]
        } else {
            &[]
        };
        found.iter().filter(move |anchor| anchor.hash == hash)
    }

    /// Whether an anchor area starts with the first three of these bytes, or with fewer if there are not
    /// so many.
    #[inline]
    pub(crate) fn may_start_with(&self, bytes: &[u8]) -> bool {
        match *bytes {
            [first, second, third, ..] => {
                let start = [first, second, third];
                // The list is exact, but reading it takes longer.
                is_set(&self.triples, hash_of_three(start))
                    && self.starts.binary_search(&number(start)).is_ok()
            }
            [first, second] => {
                let (word, bit) = pair(first, second);
                self.pairs[word] & bit != 0
            }
            [first] => self.first.contains(first),
            [] => true,
        }
    }

    /// Whether an anchor area or an escape may start where these are the first bytes.
    #[inline]
    pub(crate) fn may_start_at(&self, text: &[u8]) -> bool {
        let known = text.iter().take(3).take_while(|byte| !is_escape(**byte));
        text.first().is_some_and(|first| is_escape(*first))
            || self.may_start_with(&text[..known.count()])
    }

    /// Adds the positions in `text`, from `from` on, where an anchor may be to `hits`.
    pub(crate) fn sample(&self, text: &[u8], from: usize, hits: &mut Vec<usize>) {
        match self.stride {
            1 => sample::<1>(&self.filter, text, from, hits),
            2 => sample::<2>(&self.filter, text, from, hits),
            3 => sample::<3>(&self.filter, text, from, hits),
            _ => sample::<4>(&self.filter, text, from, hits),
        }
    }
}

/// The ways to write these bytes with other separators, but without an escape.
fn plain_spellings(text: &[u8]) -> Vec<Vec<u8>> {
    let mut spellings = vec![Vec::new()];
    for byte in text {
        let others: &[u8] = match byte {
            b' ' => b" +",
            b'\n' => b"\n +",
            byte => std::slice::from_ref(byte),
        };
        let longer = spellings.iter().flat_map(|start: &Vec<u8>| {
            others
                .iter()
                .map(|byte| [start.as_slice(), &[*byte]].concat())
        });
        spellings = longer.take(MAX_SPELLINGS).collect();
    }
    spellings
}

fn url_safe(byte: u8) -> u8 {
    match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }
}

/// How far apart the anchors inside of encoded forms are.
fn distance_inside(texts: &Texts, stride: usize) -> usize {
    let encoded = texts.lengths().take(MAX_ENCODED);
    // Two hexadecimal characters for a byte, and four thirds of a character in three alignments.
    let chars: usize = encoded.map(|length| length * 6).sum();
    INSIDE_EVERY.max((chars * stride).div_ceil(MAX_INSIDE))
}

fn hash(window: u32) -> u32 {
    // No two windows have the same hash, because the factor is odd. The constant ignores letter case.
    (window | 0x2020_2020).wrapping_mul(0x9e37_79b1)
}

/// The place of a pair of bytes in a set of pairs.
fn pair(first: u8, second: u8) -> (usize, u64) {
    let number = usize::from(first) << 8 | usize::from(second);
    (number >> 6, 1 << (number & 63))
}

/// Three bytes as one number, which is quick to compare.
fn number([first, second, third]: [u8; 3]) -> u32 {
    u32::from_le_bytes([first, second, third, 0])
}

/// Unlike [`hash`], it depends on letter case.
fn hash_of_three(bytes: [u8; 3]) -> u32 {
    number(bytes).wrapping_mul(0x9e37_79b1)
}

fn set(filter: &mut [u64; FILTER_WORDS], hash: u32) {
    filter[(hash >> (32 - FILTER_BITS + 6)) as usize] |= 1 << filter_bit(hash);
}

fn filter_bit(hash: u32) -> u32 {
    hash >> (32 - FILTER_BITS) & 63
}

fn is_set(filter: &[u64; FILTER_WORDS], hash: u32) -> bool {
    filter[(hash >> (32 - FILTER_BITS + 6)) as usize] >> filter_bit(hash) & 1 == 1
}

/// The number of samples that are tested together.
const BATCH: usize = 8;

fn sample<const STRIDE: usize>(
    filter: &[u64; FILTER_WORDS],
    text: &[u8],
    from: usize,
    hits: &mut Vec<usize>,
) {
    let window = |block: &[u8], at: usize| {
        u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
    };
    let mut at = from;
    while let Some(block) = text.get(at..at + (BATCH - 1) * STRIDE + WINDOW) {
        let mut found = 0u32;
        for sample in 0..BATCH {
            let is_found = is_set(filter, hash(window(block, sample * STRIDE)));
            found |= u32::from(is_found) << sample;
        }
        while found != 0 {
            hits.push(at + found.trailing_zeros() as usize * STRIDE);
            found &= found - 1;
        }
        at += BATCH * STRIDE;
    }
    while let Some(block) = text.get(at..at + WINDOW) {
        if is_set(filter, hash(window(block, 0))) {
            hits.push(at);
        }
        at += STRIDE;
    }
}
