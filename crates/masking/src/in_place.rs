//! Replaces each byte of a secret by `x` when a stored trace is read, so that offsets and lengths
//! stay the same.
//!
//! What is stored stays as the runner sent it: the runner compares lengths and checksums with it.

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, TryStreamExt};

use crate::partial::open_end;

/// How many bytes of a secret at the end of a trace are masked as the start of that secret. Fewer
/// reveal little and occur there by chance.
const MIN_PARTIAL: usize = 12;
/// How many bytes of a secret at the end of a live trace are held back until more output follows.
/// The first letter alone reveals nothing, and many words end with it.
const MIN_HELD_BACK: usize = 2;

/// The secrets to mask.
#[derive(Clone)]
pub struct Mask {
    secrets: Vec<Vec<u8>>,
    /// The length of the longest secret, minus one: how far the rest of a secret can extend from any
    /// byte of it.
    reach: usize,
}

impl Mask {
    /// Masks each of `secrets`.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets: Vec<Vec<u8>> = secrets
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .map(|secret| secret.as_bytes().to_vec())
            .collect();
        let longest = secrets.iter().map(Vec::len).max().unwrap_or(0);
        Self {
            secrets,
            reach: longest.saturating_sub(1),
        }
    }

    /// How far a secret can extend from any byte of it, in bytes.
    pub fn reach(&self) -> u64 {
        self.reach as u64
    }

    /// Masks a stream of bytes that starts at the offset `at`.
    pub fn window(self, at: u64) -> Window {
        Window {
            mask: self,
            at,
            raw: Vec::new(),
            shown: Vec::new(),
            early: 0,
        }
    }

    /// The range to read in order to show `range`: a secret may start before it or end after it.
    pub fn widened(&self, range: &Range<u64>) -> Range<u64> {
        let reach = self.reach as u64;
        range.start.saturating_sub(reach)..range.end.saturating_add(reach)
    }

    /// The masked bytes of `range`. `source` yields the bytes of [`Mask::widened`].
    pub fn applied<E>(
        self,
        range: Range<u64>,
        source: BoxStream<'static, Result<Bytes, E>>,
    ) -> impl Stream<Item = Result<Bytes, E>> + use<E> {
        let at = self.widened(&range).start;
        let window = self.window(at);
        stream::try_unfold(Some((source, window)), move |state| {
            let range = range.clone();
            async move {
                let Some((mut source, mut window)) = state else {
                    return Ok(None);
                };
                // A piece may be held back completely, and an empty item would look like the end to readers.
                loop {
                    let next = source.try_next().await?;
                    let is_end = next.is_none();
                    let (at, bytes) = match next {
                        Some(bytes) => window.push(&bytes),
                        None => window.finish(),
                    };
                    let bytes = cut(at, bytes, &range);
                    if is_end {
                        let last = (!bytes.is_empty()).then_some((bytes, None));
                        return Ok(last);
                    }
                    if !bytes.is_empty() {
                        return Ok(Some((bytes, Some((source, window)))));
                    }
                }
            }
        })
    }
}

/// The part of `bytes`, which start at the offset `at`, that lies in `range`.
fn cut(at: u64, bytes: Bytes, range: &Range<u64>) -> Bytes {
    let length = bytes.len() as u64;
    let from = range.start.saturating_sub(at).min(length);
    let to = range.end.saturating_sub(at).min(length).max(from);
    let index = |offset: u64| usize::try_from(offset).unwrap_or(bytes.len());
    bytes.slice(index(from)..index(to))
}

/// The bytes at the end of a stream that may still turn out to belong to a secret.
pub struct Window {
    mask: Mask,
    /// The offset of the first byte.
    at: u64,
    raw: Vec<u8>,
    /// The same bytes, masked as far as is known.
    shown: Vec<u8>,
    /// How many bytes at the start were returned early, because so few reveal nothing.
    early: usize,
}

impl Window {
    /// Takes more bytes. Returns those that can no longer belong to a secret, and their offset.
    fn push(&mut self, bytes: &[u8]) -> (u64, Bytes) {
        self.add(bytes);
        self.release(self.raw.len().saturating_sub(self.mask.reach))
    }

    /// Takes more bytes. Returns all but those at the end that may be the start of a secret.
    ///
    /// A live reader gets these bytes immediately, so nothing can be masked afterwards.
    pub fn take(&mut self, bytes: &[u8]) -> Bytes {
        self.add(bytes);
        let is_start = |end: &[u8]| {
            let mut secrets = self.mask.secrets.iter();
            secrets.any(|secret| secret.starts_with(end))
        };
        let open = open_end(&self.raw, self.mask.reach, is_start);
        let (_, decided) = self.release(self.raw.len() - open);
        let early = self.early.min(decided.len());
        self.early -= early;
        let decided = decided.slice(early..);
        match self.shown.first() {
            // One byte reveals nothing, and holding back every final `s` would delay lines.
            Some(first) if open < MIN_HELD_BACK && self.early == 0 => {
                self.early = 1;
                [&decided, std::slice::from_ref(first)].concat().into()
            }
            _ => decided,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.shown.extend_from_slice(bytes);
        for secret in &self.mask.secrets {
            let mut from = 0;
            // Search the raw bytes: a mask of an overlapping secret must not hide this one.
            while let Some(found) = find(&self.raw, secret, from) {
                hide(&mut self.shown, found..found + secret.len());
                // Only one further: a secret can overlap itself.
                from = found + 1;
            }
        }
    }

    /// Ends the stream. Returns the rest and its offset; the start of a secret at the end is masked
    /// too.
    pub fn finish(&mut self) -> (u64, Bytes) {
        for secret in &self.mask.secrets {
            // The stream may have ended in the middle of a secret.
            let longest = secret.len().min(self.raw.len());
            let part = (MIN_PARTIAL..=longest).rev();
            let part = part.filter_map(|length| secret.get(..length));
            if let Some(part) = part.into_iter().find(|part| self.raw.ends_with(part)) {
                let end = self.shown.len();
                hide(&mut self.shown, end - part.len()..end);
            }
        }
        let (at, rest) = self.release(self.raw.len());
        let early = std::mem::take(&mut self.early);
        (at + early as u64, rest.slice(early..))
    }

    fn release(&mut self, count: usize) -> (u64, Bytes) {
        let at = self.at;
        self.at += count as u64;
        self.raw.drain(..count);
        (at, self.shown.drain(..count).collect())
    }
}

/// The position of `secret` in `text`, searched from `from`.
fn find(text: &[u8], secret: &[u8], from: usize) -> Option<usize> {
    // Comparing the first byte is much faster than comparing slices at each position.
    let rest = text.get(from..)?;
    let is_it = |part: &[u8]| part.first() == secret.first() && part == secret;
    let found = rest.windows(secret.len()).position(is_it);
    found.map(|index| from + index)
}

fn hide(shown: &mut [u8], range: Range<usize>) {
    if let Some(part) = shown.get_mut(range) {
        part.fill(b'x');
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::StreamExt;

    use super::*;

    const LONG: &str = "slj_0123456789abcdef";
    const SHORT: &str = "slr_abcdefghij";

    /// The masked bytes of `range` of a text that arrives in pieces of `piece` bytes.
    async fn shown(text: &str, piece: usize, range: Range<u64>) -> String {
        let mask = Mask::new([LONG, SHORT]);
        let wide = mask.widened(&range);
        let end = usize::try_from(wide.end)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let start = usize::try_from(wide.start).unwrap().min(end);
        let pieces: Vec<Result<Bytes, Infallible>> = text.as_bytes()[start..end]
            .chunks(piece)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let bytes: Vec<Bytes> = mask
            .applied(range, stream::iter(pieces).boxed())
            .try_collect()
            .await
            .unwrap();
        String::from_utf8(bytes.concat()).unwrap()
    }

    #[tokio::test]
    async fn every_range_and_piece_size_gives_the_same_masked_text() {
        let text = format!("{LONG}-a-{SHORT}{LONG}{LONG} b slj_01 {SHORT}\n");
        let clear = text
            .replace(LONG, &"x".repeat(LONG.len()))
            .replace(SHORT, &"x".repeat(SHORT.len()));
        assert_eq!(clear.len(), text.len());
        for piece in [1, 2, 7, 19, 20, 21, 1000] {
            assert_eq!(shown(&text, piece, 0..u64::MAX).await, clear, "{piece}");
            for from in 0..text.len() {
                for to in from..=text.len() {
                    let range = from as u64..to as u64;
                    let part = shown(&text, piece, range).await;
                    assert_eq!(part, clear[from..to], "{piece} {from}..{to}");
                }
            }
        }
    }

    #[tokio::test]
    async fn the_start_of_a_secret_at_the_end_is_masked_from_twelve_bytes_on() {
        let most = &LONG[..LONG.len() - 1];
        let text = format!("a {most}");
        let hidden = format!("a {}", "x".repeat(most.len()));
        for piece in [1, 5, 100] {
            assert_eq!(shown(&text, piece, 0..u64::MAX).await, hidden);
        }
        assert_eq!(shown("a slj_0123", 3, 0..u64::MAX).await, "a slj_0123");
    }

    #[test]
    fn a_live_reader_gets_the_same_masked_text_as_a_later_one() {
        let text = format!("{LONG}-a-{SHORT}{LONG}{LONG} slj_01 {SHORT}slslj_\n slr_abcdefgh");
        let clear = text
            .replace(LONG, &"x".repeat(LONG.len()))
            .replace(SHORT, &"x".repeat(SHORT.len()))
            .replace("slr_abcdefgh", &"x".repeat(12));
        for piece in [1, 2, 3, 7, 19, 20, 21, 1000] {
            let mut window = Mask::new([LONG, SHORT]).window(0);
            let mut shown = Vec::new();
            for bytes in text.as_bytes().chunks(piece) {
                shown.extend(window.take(bytes));
            }
            shown.extend(window.finish().1);
            assert_eq!(shown.len(), clear.len());
            // A live reader may get the first letter of a secret before the second arrives.
            let differs = |(at, byte): (usize, &u8)| *byte != shown[at] && shown[at] != b's';
            let other = clear.as_bytes().iter().enumerate().position(differs);
            assert_eq!(other, None, "{piece}: {}", String::from_utf8_lossy(&shown));
            assert!(!String::from_utf8_lossy(&shown).contains("slj_0123"));
        }
    }

    #[test]
    fn only_bytes_that_may_start_a_secret_are_held_back() {
        let mut window = Mask::new([LONG, SHORT]).window(0);
        assert_eq!(window.take(b"words"), "words");
        assert_eq!(window.take(b" so on sl"), " so on ");
        assert_eq!(window.take(b"\n"), "sl\n");
    }

    #[tokio::test]
    async fn without_secrets_nothing_is_masked() {
        let source = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"bc"))]).boxed();
        let shown = Mask::new([""]).applied(1..2, source);
        let bytes: Vec<Bytes> = shown.try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"b");
    }
}
