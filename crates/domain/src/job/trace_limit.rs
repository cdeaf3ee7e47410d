//! What is kept of a trace that is longer than its limit: a head, and a tail that ends with the last
//! byte.

/// How many of the last bytes are kept at most.
const MAX_TAIL: u64 = 1 << 20;
/// A trace with a small limit keeps this part of it for its tail: one over it.
const TAIL_PART: u64 = 4;
/// How many bytes of a UTF-8 character can follow its first one.
const MAX_CONTINUATION: u64 = 3;

/// How many bytes of output a trace keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceLimit(
    /// In bytes, as runners send them.
    pub u64,
);

impl TraceLimit {
    /// How many of the last bytes are kept of a trace that exceeds the limit.
    pub fn tail(self) -> u64 {
        MAX_TAIL.min(self.0 / TAIL_PART)
    }

    /// How many of the next bytes of a trace belong to its head. `received` bytes do already.
    pub fn head_part(self, received: u64, next: &[u8]) -> usize {
        let head = self.0 - self.tail();
        let free = usize::try_from(head.saturating_sub(received)).unwrap_or(usize::MAX);
        if next.len() <= free {
            return next.len();
        }
        // The head ends between two characters.
        let taken = received.saturating_sub(head).min(MAX_CONTINUATION);
        let most = usize::try_from(MAX_CONTINUATION - taken).unwrap_or(0);
        free + continuation(next.get(free..).unwrap_or_default(), most)
    }
}

/// How many of the first bytes, at most `most`, continue a character that begins before them.
pub fn continuation(bytes: &[u8], most: usize) -> usize {
    let first = bytes.iter().take(most);
    first.take_while(|byte| **byte & 0xC0 == 0x80).count()
}

/// The line between the head and the tail of a trace, as far as readers can see it.
///
/// While the job runs (`has_ended` is false) it has no end, because the number of missing bytes may
/// still grow. `is_in_line`: whether the head ends within a line.
pub fn notice(is_in_line: bool, missing: u64, has_ended: bool) -> String {
    let line_break = if is_in_line { "\n" } else { "" };
    let end = if has_ended {
        format!(": {missing} bytes are missing here]\n")
    } else {
        String::new()
    };
    format!(
        "{line_break}[the trace has reached its limit; its last lines follow at the end of the \
         job{end}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_a_part_of_the_limit_and_at_most_one_mebibyte() {
        for (limit, tail) in [(0, 0), (3, 0), (4, 1), (4096, 1024), (1 << 30, 1 << 20)] {
            assert_eq!(TraceLimit(limit).tail(), tail, "{limit}");
        }
    }

    #[test]
    fn the_head_ends_between_two_characters() {
        let limit = TraceLimit(8);
        assert_eq!(limit.head_part(0, b"123456"), 6);
        assert_eq!(limit.head_part(0, b"1234567"), 6);
        assert_eq!(limit.head_part(4, b"5678"), 2);
        assert_eq!(limit.head_part(6, b"7"), 0);
        let text = "12345€8".as_bytes();
        assert_eq!(limit.head_part(0, text), 8);
        assert_eq!(limit.head_part(6, &text[6..]), 2);
        assert_eq!(limit.head_part(7, &text[7..]), 1);
        assert_eq!(limit.head_part(6, &[0x80; 9]), 3);
        assert_eq!(limit.head_part(9, &[0x80; 9]), 0);
        assert_eq!(TraceLimit(0).head_part(0, b"12"), 0);
    }

    #[test]
    fn the_notice_only_grows() {
        for is_in_line in [false, true] {
            let running = notice(is_in_line, 5, false);
            let ended = notice(is_in_line, 7, true);
            assert!(ended.starts_with(&running), "{ended}");
            assert!(ended.ends_with(": 7 bytes are missing here]\n"), "{ended}");
            assert_eq!(ended.starts_with('\n'), is_in_line);
        }
    }
}
