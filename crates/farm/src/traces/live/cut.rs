//! Cuts a trace into pieces: whole characters, and never too many.

use std::sync::Arc;

use bytes::Bytes;

use crate::state::trace_piece::TracePiece;
use crate::traces::chunks::Arrival;

/// The most bytes of a trace that a piece has.
const MAX_BYTES: usize = 64 * 1024;
/// The most bytes of a character that can stand without its last one.
pub(super) const MAX_UNFINISHED: usize = 3;

/// Cuts a text that begins at `start` into pieces: where bytes came apart, and where a piece would
/// be too long, but never within a character.
pub(super) fn cut(start: u64, text: &Bytes, arrivals: &[Arrival]) -> Vec<Arc<TracePiece>> {
    let index = |offset: u64| usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, None);
    let mut arrivals = arrivals.iter().peekable();
    while from < text.len() {
        // One that came in the middle of a character counts from the end of it.
        while let Some(arrival) = arrivals.peek()
            && border(text, index(arrival.start)) <= from
        {
            at = arrival.at;
            arrivals.next();
        }
        let next = arrivals.peek();
        let next = next.map_or(text.len(), |next| border(text, index(next.start)));
        let to = match next - from > MAX_BYTES {
            true => border(text, from + MAX_BYTES - MAX_UNFINISHED),
            false => next,
        };
        let piece = TracePiece::new(start + from as u64, text.slice(from..to), at);
        pieces.push(Arc::new(piece));
        from = to;
    }
    pieces
}

/// The end of the character that `at` lies within; `at` itself where it lies within none.
pub(super) fn border(text: &[u8], at: usize) -> usize {
    let at = at.min(text.len());
    let end_of = |lead: usize| {
        let end = lead + width(*text.get(lead)?)?;
        let whole = std::str::from_utf8(text.get(lead..end)?).is_ok();
        (whole && end > at).then_some(end)
    };
    let leads = (1..=MAX_UNFINISHED).filter_map(|back| at.checked_sub(back));
    leads.filter_map(end_of).next().unwrap_or(at)
}

/// How many bytes at the end of `text` are the beginning of a character.
pub(super) fn unfinished(text: &[u8]) -> usize {
    let begins = |count: &usize| {
        let tail = text.len().checked_sub(*count).and_then(|at| text.get(at..));
        let tail = tail.filter(|tail| tail.first().and_then(|lead| width(*lead)).is_some());
        let text = tail.map(std::str::from_utf8);
        matches!(text, Some(Err(error)) if error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=MAX_UNFINISHED).find(begins).unwrap_or(0)
}

/// How many bytes a character has that begins with `lead`; `None` for one byte, and for none.
fn width(lead: u8) -> Option<usize> {
    match lead {
        0xC2..=0xDF => Some(2),
        0xE0..=0xEF => Some(3),
        0xF0..=0xF4 => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(start: u64, text: &str, borders: &[u64]) -> Vec<(u64, String)> {
        let arrivals = borders.iter().map(|start| Arrival {
            start: *start,
            at: None,
        });
        let arrivals: Vec<Arrival> = arrivals.collect();
        let pieces = cut(start, &Bytes::copy_from_slice(text.as_bytes()), &arrivals);
        let text = |piece: &Arc<TracePiece>| String::from_utf8(piece.bytes().to_vec()).unwrap();
        pieces
            .iter()
            .map(|piece| (piece.end(), text(piece)))
            .collect()
    }

    #[test]
    fn pieces_end_where_bytes_came_apart_but_never_within_a_character() {
        let expected = [(12, "ab".to_owned()), (15, "€".into()), (16, "c".into())];
        assert_eq!(texts(10, "ab€c", &[0, 12, 13, 14]), expected);
        assert_eq!(texts(10, "ab€c", &[12, 15]), expected);
        assert_eq!(texts(10, "ab€c", &[]), [(16, "ab€c".to_owned())]);
    }

    #[test]
    fn a_piece_is_never_too_long() {
        for lead in ["", "a", "ab"] {
            let text = format!("{lead}{}", "€".repeat(60_000));
            let pieces = texts(0, &text, &[0]);
            assert!(pieces.iter().all(|(_, piece)| piece.len() <= MAX_BYTES));
            assert_eq!(pieces.len(), 3);
            let whole: String = pieces.into_iter().map(|(_, piece)| piece).collect();
            assert!(whole == text);
        }
    }

    #[test]
    fn the_beginning_of_a_character_waits_for_the_rest() {
        let text = "a𝄞".as_bytes();
        let counts: Vec<usize> = (0..=5).map(|length| unfinished(&text[..length])).collect();
        assert_eq!(counts, [0, 0, 1, 2, 3, 0]);
        // What never becomes a character is not waited for.
        for hopeless in [&b"a\xff"[..], b"\x80\x80", b"\xe2\x28", b"\xed\xa0"] {
            assert_eq!(unfinished(hopeless), 0, "{hopeless:?}");
        }
    }
}
