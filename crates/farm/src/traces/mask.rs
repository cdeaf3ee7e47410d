//! Tokens in a trace are never shown: each byte of one is read as `x`, so that nothing moves.
//!
//! What is stored stays as its runner sent it, or lengths and checksums would not agree.

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, TryStreamExt};
use slipway_domain::{JobId, ProjectId};

use crate::error::FarmError;
use crate::farm::Farm;

/// As much of a token as has to stand at the end of a trace to be taken for the beginning of one,
/// in bytes. Less than that neither gives much away nor stands there by chance.
const TELLING_PART: usize = 12;
/// As much of a token as has to stand at the end of what came of a trace to be held back until more
/// comes, in bytes. Its first letter alone tells nothing, and many words end with it.
const HELD_PART: usize = 2;

impl Farm {
    /// What is hidden in the trace of a job of `project`.
    pub(crate) fn hidden_in(&self, job: JobId, project: ProjectId) -> Mask {
        let own = self.job_token(job);
        let of_project = self.project_runners_token(project);
        Mask::new([own.expose(), of_project.expose()])
    }
}

/// What is to be hidden.
#[derive(Clone)]
pub(crate) struct Mask {
    secrets: Vec<Vec<u8>>,
    /// How far the rest of a secret may be from any byte of it.
    reach: usize,
}

impl Mask {
    /// Hides each of `secrets`.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
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

    /// How far the rest of a secret may be from any byte of it.
    pub(crate) fn reach(&self) -> u64 {
        self.reach as u64
    }

    /// Hides secrets in bytes that begin at `at`, as they come.
    pub(crate) fn window(self, at: u64) -> Window {
        Window {
            mask: self,
            at,
            raw: Vec::new(),
            shown: Vec::new(),
            early: 0,
        }
    }

    /// What has to be read to show `range`: a secret may begin before it or end after it.
    pub(crate) fn widened(&self, range: &Range<u64>) -> Range<u64> {
        let reach = self.reach as u64;
        range.start.saturating_sub(reach)..range.end.saturating_add(reach)
    }

    /// The bytes of `range`, without the secrets, out of `source`, which is [`Mask::widened`].
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

/// The bytes of which it is not known yet whether they belong to a secret.
pub(crate) struct Window {
    mask: Mask,
    /// Where they begin.
    at: u64,
    raw: Vec<u8>,
    /// The same, as they are shown.
    shown: Vec<u8>,
    /// How many of them were given before that was known, as they tell nothing.
    early: usize,
}

impl Window {
    /// Takes more bytes; gives those that are decided, and where they begin.
    fn push(&mut self, bytes: &[u8]) -> (u64, Bytes) {
        self.hold(bytes);
        self.give(self.raw.len().saturating_sub(self.mask.reach))
    }

    /// Takes more bytes; gives all but those at the end that may be the beginning of a secret: once
    /// they are shown, they cannot be hidden.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Bytes {
        self.hold(bytes);
        let begins = |count: &usize| {
            let secrets = self.mask.secrets.iter();
            let mut parts = secrets.filter_map(|secret| secret.get(..*count));
            parts.any(|part| self.raw.ends_with(part))
        };
        let longest = self.mask.reach.min(self.raw.len());
        let begun = (1..=longest).rev().find(begins).unwrap_or(0);
        let (_, decided) = self.give(self.raw.len() - begun);
        let early = self.early.min(decided.len());
        self.early -= early;
        let decided = decided.slice(early..);
        match self.shown.first() {
            Some(first) if begun < HELD_PART && self.early == 0 => {
                self.early = 1;
                [&decided, std::slice::from_ref(first)].concat().into()
            }
            _ => decided,
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.shown.extend_from_slice(bytes);
        for secret in &self.mask.secrets {
            let mut from = 0;
            while let Some(found) = find(&self.raw, secret, from) {
                hide(&mut self.shown, found..found + secret.len());
                from = found + 1;
            }
        }
    }

    /// Gives the rest: the beginning of a secret at its end is hidden too.
    pub(crate) fn finish(&mut self) -> (u64, Bytes) {
        for secret in &self.mask.secrets {
            let longest = secret.len().min(self.raw.len());
            let part = (TELLING_PART..=longest).rev();
            let part = part.filter_map(|length| secret.get(..length));
            if let Some(part) = part.into_iter().find(|part| self.raw.ends_with(part)) {
                let end = self.shown.len();
                hide(&mut self.shown, end - part.len()..end);
            }
        }
        let (at, rest) = self.give(self.raw.len());
        let early = std::mem::take(&mut self.early);
        (at + early as u64, rest.slice(early..))
    }

    fn give(&mut self, count: usize) -> (u64, Bytes) {
        let at = self.at;
        self.at += count as u64;
        self.raw.drain(..count);
        (at, self.shown.drain(..count).collect())
    }
}

/// Where `secret` is in `text`, from `from` on.
fn find(text: &[u8], secret: &[u8], from: usize) -> Option<usize> {
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
    use futures_util::StreamExt;

    use super::*;

    const LONG: &str = "slj_0123456789abcdef";
    const SHORT: &str = "slr_abcdefghij";

    /// What is shown of `range` of a text that comes in pieces of `piece` bytes.
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
    async fn every_range_in_every_piece_shows_the_same() {
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
    async fn the_beginning_of_a_secret_at_the_end_is_hidden_once_it_tells_anything() {
        let most = &LONG[..LONG.len() - 1];
        let text = format!("a {most}");
        let hidden = format!("a {}", "x".repeat(most.len()));
        for piece in [1, 5, 100] {
            assert_eq!(shown(&text, piece, 0..u64::MAX).await, hidden);
        }
        assert_eq!(shown("a slj_0123", 3, 0..u64::MAX).await, "a slj_0123");
    }

    #[test]
    fn what_is_shown_as_it_comes_is_what_is_shown_afterwards() {
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
            // The first letter of a token may have been shown before the second came.
            let differs = |(at, byte): (usize, &u8)| *byte != shown[at] && shown[at] != b's';
            let other = clear.as_bytes().iter().enumerate().position(differs);
            assert_eq!(other, None, "{piece}: {}", String::from_utf8_lossy(&shown));
            assert!(!String::from_utf8_lossy(&shown).contains("slj_0123"));
        }
    }

    #[test]
    fn only_what_may_become_a_secret_is_held_back() {
        let mut window = Mask::new([LONG, SHORT]).window(0);
        assert_eq!(window.take(b"words"), "words");
        assert_eq!(window.take(b" so on sl"), " so on ");
        assert_eq!(window.take(b"\n"), "sl\n");
    }

    #[tokio::test]
    async fn without_secrets_everything_is_shown() {
        let source = stream::iter([Ok(Bytes::from_static(b"bc"))]).boxed();
        let shown = Mask::new([""]).applied(1..2, source);
        let bytes: Vec<Bytes> = shown.try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"b");
    }
}
