//! Masks tokens in traces: readers see each byte of one as `x`, so that no byte moves.
//!
//! What is stored stays as the runner sent it; otherwise lengths and checksums would not match.

use slipway_domain::{JobId, ProjectId};
use slipway_masking::in_place::Mask;

use crate::farm::Farm;

/// How many bytes of a secret at the very end of a trace are masked as the beginning of it. Fewer
/// neither give much away nor stand there by accident.
const MIN_MASKED_PREFIX: usize = 12;
/// How many bytes of a secret at the end of a growing trace are held back until more arrives. The
/// first byte alone reveals nothing, and many words end with it.
const MIN_HELD_PREFIX: usize = 2;

impl Farm {
    /// What is masked in the trace of a job of `project`.
    pub(crate) fn trace_mask(&self, job: JobId, project: ProjectId) -> Mask {
        let own = self.job_token(job);
        let of_project = self.project_runners_token(project);
        Mask::new([own.expose(), of_project.expose()])
    }
}

/// The secrets to mask.
#[derive(Clone)]
pub(crate) struct Mask {
    secrets: Vec<Vec<u8>>,
    /// How far from any of its bytes the rest of a secret may lie.
    reach: usize,
}

impl Mask {
    /// Masks each of `secrets`.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets: Vec<Vec<u8>> = secrets
            .into_iter()
            // An empty secret would match everywhere.
            .filter(|secret| !secret.is_empty())
            .map(|secret| secret.as_bytes().to_vec())
            .collect();
        let longest = secrets.iter().map(Vec::len).max().unwrap_or(0);
        Self {
            secrets,
            reach: longest.saturating_sub(1),
        }
    }

    /// How far from any of its bytes the rest of a secret may lie.
    pub(crate) fn reach(&self) -> u64 {
        self.reach as u64
    }

    /// Masks secrets in bytes that begin at `at`, as they arrive.
    pub(crate) fn window(self, at: u64) -> Window {
        Window {
            mask: self,
            at,
            raw: Vec::new(),
            masked: Vec::new(),
            shown_early: 0,
        }
    }

    /// What has to be read to show `range`: a secret may begin before it or end after it.
    pub(crate) fn widened(&self, range: &Range<u64>) -> Range<u64> {
        let reach = self.reach as u64;
        range.start.saturating_sub(reach)..range.end.saturating_add(reach)
    }

    /// The masked bytes of `range` from `source`, which holds the range [`Mask::widened`].
    pub(crate) fn applied(
        self,
        range: Range<u64>,
        source: BoxStream<'static, Result<Bytes, FarmError>>,
    ) -> impl Stream<Item = Result<Bytes, FarmError>> + use<> {
        let at = self.widened(&range).start;
        let window = self.window(at);
        stream::try_unfold(Some((source, window)), move |state| {
            let range = range.clone();
            async move {
                let Some((mut source, mut window)) = state else {
                    return Ok(None);
                };
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

/// The part of `bytes`, which begin at `at`, that lies in `range`.
fn cut(at: u64, bytes: Bytes, range: &Range<u64>) -> Bytes {
    let length = bytes.len() as u64;
    let from = range.start.saturating_sub(at).min(length);
    let to = range.end.saturating_sub(at).min(length).max(from);
    let index = |offset: u64| usize::try_from(offset).unwrap_or(bytes.len());
    bytes.slice(index(from)..index(to))
}

/// The bytes for which it is still open whether they belong to a secret.
pub(crate) struct Window {
    mask: Mask,
    /// Where the bytes begin.
    at: u64,
    raw: Vec<u8>,
    /// The same bytes with the secrets found so far masked.
    masked: Vec<u8>,
    /// How many of the bytes were shown before it was decided, because they reveal nothing.
    shown_early: usize,
}

impl Window {
    /// Takes bytes; returns those that are decided, and where they begin.
    fn push(&mut self, bytes: &[u8]) -> (u64, Bytes) {
        self.hold(bytes);
        self.release(self.raw.len().saturating_sub(self.mask.reach))
    }

    /// Takes bytes; returns all but those at the end that may be the beginning of a secret. Once
    /// bytes are shown they cannot be masked.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Bytes {
        self.hold(bytes);
        let begins = |count: &usize| {
            let secrets = self.mask.secrets.iter();
            let mut prefixes = secrets.filter_map(|secret| secret.get(..*count));
            prefixes.any(|prefix| self.raw.ends_with(prefix))
        };
        let longest = self.mask.reach.min(self.raw.len());
        let begun = (1..=longest).rev().find(begins).unwrap_or(0);
        let (_, decided) = self.release(self.raw.len() - begun);
        let early = self.shown_early.min(decided.len());
        self.shown_early -= early;
        let decided = decided.slice(early..);
        match self.masked.first() {
            Some(first) if begun < MIN_HELD_PREFIX && self.shown_early == 0 => {
                self.shown_early = 1;
                [&decided, std::slice::from_ref(first)].concat().into()
            }
            _ => decided,
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.masked.extend_from_slice(bytes);
        for secret in &self.mask.secrets {
            let mut from = 0;
            // Secrets may overlap, so the search goes on one byte after each match.
            while let Some(found) = find(&self.raw, secret, from) {
                mask_range(&mut self.masked, found..found + secret.len());
                from = found + 1;
            }
        }
    }

    /// Returns the rest. The beginning of a secret at its end is masked too.
    pub(crate) fn finish(&mut self) -> (u64, Bytes) {
        for secret in &self.mask.secrets {
            let longest = secret.len().min(self.raw.len());
            let prefixes = (MIN_MASKED_PREFIX..=longest).rev();
            let prefixes = prefixes.filter_map(|length| secret.get(..length));
            if let Some(prefix) = prefixes
                .into_iter()
                .find(|prefix| self.raw.ends_with(prefix))
            {
                let end = self.masked.len();
                mask_range(&mut self.masked, end - prefix.len()..end);
            }
        }
        let (at, rest) = self.release(self.raw.len());
        let early = std::mem::take(&mut self.shown_early);
        (at + early as u64, rest.slice(early..))
    }

    fn release(&mut self, count: usize) -> (u64, Bytes) {
        let at = self.at;
        self.at += count as u64;
        self.raw.drain(..count);
        (at, self.masked.drain(..count).collect())
    }
}

/// Where `secret` is in `text`, from `from` on.
fn find(text: &[u8], secret: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    // The first byte alone rules out nearly every position.
    let is_it = |part: &[u8]| part.first() == secret.first() && part == secret;
    let found = rest.windows(secret.len()).position(is_it);
    found.map(|index| from + index)
}

fn mask_range(masked: &mut [u8], range: Range<usize>) {
    if let Some(part) = masked.get_mut(range) {
        part.fill(b'x');
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    const LONG: &str = "slj_0123456789abcdef";
    const SHORT: &str = "slr_abcdefghij";

    /// What is shown of `range` of a text that arrives in pieces of `piece` bytes.
    async fn shown(text: &str, piece: usize, range: Range<u64>) -> String {
        let mask = Mask::new([LONG, SHORT]);
        let wide = mask.widened(&range);
        let end = usize::try_from(wide.end)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let start = usize::try_from(wide.start).unwrap().min(end);
        let pieces: Vec<Result<Bytes, FarmError>> = text.as_bytes()[start..end]
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
    async fn every_range_is_masked_the_same_in_pieces_of_any_size() {
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
    async fn a_long_prefix_of_a_secret_at_the_end_is_masked_and_a_short_one_is_not() {
        let most = &LONG[..LONG.len() - 1];
        let text = format!("a {most}");
        let masked = format!("a {}", "x".repeat(most.len()));
        for piece in [1, 5, 100] {
            assert_eq!(shown(&text, piece, 0..u64::MAX).await, masked);
        }
        assert_eq!(shown("a slj_0123", 3, 0..u64::MAX).await, "a slj_0123");
    }

    #[test]
    fn a_growing_trace_is_masked_like_a_stored_one() {
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
            // The first letter of a token may have been shown before the second arrived.
            let differs = |(at, byte): (usize, &u8)| *byte != shown[at] && shown[at] != b's';
            let other = clear.as_bytes().iter().enumerate().position(differs);
            assert_eq!(other, None, "{piece}: {}", String::from_utf8_lossy(&shown));
            assert!(!String::from_utf8_lossy(&shown).contains("slj_0123"));
        }
    }

    #[test]
    fn only_a_possible_beginning_of_a_secret_is_held_back() {
        let mut window = Mask::new([LONG, SHORT]).window(0);
        assert_eq!(window.take(b"words"), "words");
        assert_eq!(window.take(b" so on sl"), " so on ");
        assert_eq!(window.take(b"\n"), "sl\n");
    }

    #[tokio::test]
    async fn nothing_is_masked_without_secrets() {
        let source = stream::iter([Ok(Bytes::from_static(b"bc"))]).boxed();
        let shown = Mask::new([""]).applied(1..2, source);
        let bytes: Vec<Bytes> = shown.try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"b");
    }
}
