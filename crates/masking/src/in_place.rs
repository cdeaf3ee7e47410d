//! Replaces each byte of a secret by `x` when a stored trace is read, so that offsets and lengths
//! stay the same.
//!
//! What is stored stays as the runner sent it: the runner compares lengths and checksums with it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream as FutureStream, TryStreamExt};

use crate::search::Search;
use crate::search::stream::{Sink, Stream};

/// How many times as long as the longest secret an occurrence may be. A part of a trace is masked as
/// the whole trace is, because so much is read before and after it.
const MAX_SPAN: u64 = 16;

/// The secrets to mask.
#[derive(Clone)]
pub struct Mask {
    /// `None` if there are too many to search for. Then everything is masked.
    search: Option<Arc<Search>>,
}

impl Mask {
    /// Masks each of `secrets`.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let search = Search::new(secrets).map(|search| search.with_max_span(MAX_SPAN));
        Self {
            search: search.map(Arc::new),
        }
    }

    /// How far a secret can extend from any byte of it, in bytes.
    pub fn reach(&self) -> u64 {
        let search = self.search.as_deref();
        search.map_or(0, |search| search.max_span.saturating_sub(1))
    }

    /// Masks a stream of bytes that starts at the offset `at`.
    pub fn window(self, at: u64) -> Window {
        Window {
            mask: self,
            at,
            stream: Stream::default(),
            early: 0,
        }
    }

    /// The range to read in order to show `range`: a secret may start before it or end after it.
    pub fn widened(&self, range: &Range<u64>) -> Range<u64> {
        let reach = self.reach();
        range.start.saturating_sub(reach)..range.end.saturating_add(reach)
    }

    /// Which bytes of a text are masked, or would be if the text went on in some way.
    pub fn hidden_in(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut hidden = Spans::default();
        let Some(search) = self.search.as_deref() else {
            hidden.hide(text.len(), true);
            return hidden.ranges;
        };
        if !search.is_empty() {
            let mut stream = Stream::default();
            stream.push(search, text, &mut hidden);
            hidden.hide(stream.held_back().len(), true);
        }
        hidden.ranges
    }

    /// The masked bytes of `range`. `source` yields the bytes from `at` to the end of
    /// [`Mask::widened`]. `at` is where that begins, unless the text begins there.
    pub fn applied<E>(
        self,
        at: u64,
        range: Range<u64>,
        source: BoxStream<'static, Result<Bytes, E>>,
    ) -> impl FutureStream<Item = Result<Bytes, E>> + use<E> {
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

/// A stream whose end is held back while it may turn out to belong to a secret.
pub struct Window {
    mask: Mask,
    /// The offset of the next byte to return.
    at: u64,
    stream: Stream,
    /// How many of the next bytes were returned early, because so few reveal nothing.
    early: usize,
}

impl Window {
    /// Takes more bytes. Returns those that can no longer belong to a secret, and their offset.
    fn push(&mut self, bytes: &[u8]) -> (u64, Bytes) {
        let mut shown = Vec::with_capacity(bytes.len());
        match self.mask.search.as_deref() {
            Some(search) if search.is_empty() => shown.extend_from_slice(bytes),
            Some(search) => self.stream.push(search, bytes, &mut Hidden(&mut shown)),
            None => shown.resize(bytes.len(), b'x'),
        }
        self.returned(shown)
    }

    /// Takes more bytes. Returns all but those at the end that may be the start of a secret.
    ///
    /// A live reader gets these bytes immediately, so nothing can be masked afterwards.
    pub fn take(&mut self, bytes: &[u8]) -> Bytes {
        let (_, decided) = self.push(bytes);
        match self.stream.held_back() {
            // One byte reveals nothing, and holding back every final `s` would delay lines.
            [first] if self.early == 0 => {
                self.early = 1;
                [&decided, std::slice::from_ref(first)].concat().into()
            }
            _ => decided,
        }
    }

    /// Ends the stream. Returns the rest and its offset; the start of a secret at the end is masked
    /// too.
    pub fn finish(&mut self) -> (u64, Bytes) {
        let mut shown = Vec::new();
        if let Some(search) = self.mask.search.as_deref() {
            self.stream.finish(search, &mut Hidden(&mut shown));
        }
        self.returned(shown)
    }

    fn returned(&mut self, shown: Vec<u8>) -> (u64, Bytes) {
        let early = self.early.min(shown.len());
        self.early -= early;
        let at = self.at + early as u64;
        self.at += shown.len() as u64;
        (at, Bytes::from(shown).slice(early..))
    }
}

struct Hidden<'a>(&'a mut Vec<u8>);

impl Sink for Hidden<'_> {
    fn show(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn hide(&mut self, count: usize, _is_new: bool) {
        self.0.resize(self.0.len() + count, b'x');
    }
}

/// Notes where secrets are.
#[derive(Default)]
struct Spans {
    at: usize,
    ranges: Vec<Range<usize>>,
}

impl Sink for Spans {
    fn show(&mut self, bytes: &[u8]) {
        self.at += bytes.len();
    }

    fn hide(&mut self, count: usize, is_new: bool) {
        let end = self.at + count;
        match self.ranges.last_mut() {
            Some(last) if !is_new && last.end == self.at => last.end = end,
            _ if count > 0 => self.ranges.push(self.at..end),
            _ => {}
        }
        self.at = end;
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
    async fn shown(mask: &Mask, text: &str, piece: usize, range: Range<u64>) -> String {
        let wide = mask.widened(&range);
        let end = usize::try_from(wide.end)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let start = usize::try_from(wide.start).unwrap().min(end);
        let pieces: Vec<Result<Bytes, Infallible>> = text.as_bytes()[start..end]
            .chunks(piece)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let mask = mask.clone();
        let bytes: Vec<Bytes> = mask
            .applied(wide.start, range, stream::iter(pieces).boxed())
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
        let mask = Mask::new([LONG, SHORT]);
        for piece in [1, 2, 7, 19, 20, 21, 1000] {
            assert_eq!(
                shown(&mask, &text, piece, 0..u64::MAX).await,
                clear,
                "{piece}"
            );
            for from in 0..text.len() {
                for to in from..=text.len() {
                    let range = from as u64..to as u64;
                    let part = shown(&mask, &text, piece, range).await;
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
        let mask = Mask::new([LONG, SHORT]);
        for piece in [1, 5, 100] {
            assert_eq!(shown(&mask, &text, piece, 0..u64::MAX).await, hidden);
        }
        assert_eq!(
            shown(&mask, "a slj_0123", 3, 0..u64::MAX).await,
            "a slj_0123"
        );
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

    #[test]
    fn masked_bytes_are_known_in_a_text_that_may_go_on() {
        let mask = Mask::new([LONG, SHORT]);
        let text = format!("xx{LONG}xx{SHORT}{SHORT} slj_0");
        let hidden = mask.hidden_in(text.as_bytes());
        assert_eq!(hidden, [2..22, 24..38, 38..52, 53..58]);
        assert!(mask.hidden_in(b"word").is_empty());
        assert!(Mask::new([""]).hidden_in(b"words").is_empty());
    }

    #[tokio::test]
    async fn without_secrets_nothing_is_masked() {
        let source = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"bc"))]).boxed();
        let shown = Mask::new([""]).applied(1, 1..2, source);
        let bytes: Vec<Bytes> = shown.try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"b");
    }
}
