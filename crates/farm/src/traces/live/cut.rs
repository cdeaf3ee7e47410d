//! Cuts bytes of a trace into pieces of whole characters and limited length.

use std::sync::Arc;

use bytes::Bytes;

use crate::state::trace_piece::TracePiece;
use crate::traces::chunks::Arrival;

/// The longest piece, in bytes.
const MAX_PIECE: usize = 64 * 1024;
/// How many bytes of a UTF-8 character there can be without its last one.
pub(crate) const MAX_PARTIAL_CHAR: usize = 3;

/// Cuts a text that begins at `start` where its bytes arrived apart and where a piece would be too
/// long, but never within a character.
pub(crate) fn cut(start: u64, text: &Bytes, arrivals: &[Arrival]) -> Vec<Arc<TracePiece>> {
    let index = |offset: u64| usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, None);
    let mut arrivals = arrivals.iter().peekable();
    while from < text.len() {
        // An arrival that begins within a character counts from the end of the character.
        while let Some(arrival) = arrivals.peek()
            && char_end(text, index(arrival.start)) <= from
        {
            at = arrival.at;
            arrivals.next();
        }
        let next = arrivals.peek();
        let next = next.map_or(text.len(), |next| char_end(text, index(next.start)));
        let to = if next - from > MAX_PIECE {
            char_end(text, from + MAX_PIECE - MAX_PARTIAL_CHAR)
        } else {
            next
        };
        let piece = TracePiece::new(start + from as u64, text.slice(from..to), at);
        pieces.push(Arc::new(piece));
        from = to;
    }
    pieces
}

/// The end of the character that `at` lies within; `at` itself when it lies between two.
pub(crate) fn char_end(text: &[u8], at: usize) -> usize {
    let at = at.min(text.len());
    let end_of = |lead: usize| {
        let end = lead + char_width(*text.get(lead)?)?;
        let is_char = std::str::from_utf8(text.get(lead..end)?).is_ok();
        (is_char && end > at).then_some(end)
    };
    let leads = (1..=MAX_PARTIAL_CHAR).filter_map(|back| at.checked_sub(back));
    leads.filter_map(end_of).next().unwrap_or(at)
}

/// How many bytes at the end of `text` are the beginning of an unfinished character. Bytes that can
/// never become a character do not count.
pub(crate) fn partial_char(text: &[u8]) -> usize {
    let is_partial = |count: &usize| {
        let tail = text.len().checked_sub(*count).and_then(|at| text.get(at..));
        let tail = tail.filter(|tail| tail.first().and_then(|lead| char_width(*lead)).is_some());
        let decoded = tail.map(std::str::from_utf8);
        matches!(
            decoded,
            Some(Err(error)) if error.valid_up_to() == 0 && error.error_len().is_none()
        )
    };
    (1..=MAX_PARTIAL_CHAR).find(is_partial).unwrap_or(0)
}

/// The length of the character that begins with the byte `lead`, if it has more than one byte.
fn char_width(lead: u8) -> Option<usize> {
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
    fn pieces_end_where_bytes_arrived_apart_but_never_within_a_character() {
        let expected = [(12, "ab".to_owned()), (15, "€".into()), (16, "c".into())];
        assert_eq!(texts(10, "ab€c", &[0, 12, 13, 14]), expected);
        assert_eq!(texts(10, "ab€c", &[12, 15]), expected);
        assert_eq!(texts(10, "ab€c", &[]), [(16, "ab€c".to_owned())]);
    }

    #[test]
    fn no_piece_exceeds_the_maximum_length() {
        for lead in ["", "a", "ab"] {
            let text = format!("{lead}{}", "€".repeat(60_000));
            let pieces = texts(0, &text, &[0]);
            assert!(pieces.iter().all(|(_, piece)| piece.len() <= MAX_PIECE));
            assert_eq!(pieces.len(), 3);
            let whole: String = pieces.into_iter().map(|(_, piece)| piece).collect();
            assert!(whole == text);
        }
    }

    #[test]
    fn an_unfinished_character_is_held_back_and_invalid_bytes_are_not() {
        let text = "a𝄞".as_bytes();
        let counts: Vec<usize> = (0..=5)
            .map(|length| partial_char(&text[..length]))
            .collect();
        assert_eq!(counts, [0, 0, 1, 2, 3, 0]);
        for invalid in [&b"a\xff"[..], b"\x80\x80", b"\xe2\x28", b"\xed\xa0"] {
            assert_eq!(partial_char(invalid), 0, "{invalid:?}");
        }
    }
}
