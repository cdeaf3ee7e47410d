//! Which part of something is wanted: the `Range` header of HTTP, as far as one range goes.

use std::ops::Range;

/// Which part of something is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// All of it.
    Full,
    /// These bytes.
    Partial(Range<u64>),
}

/// The part begins at or beyond the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are only {size} bytes")]
pub struct UnsatisfiableRange {
    /// How many bytes there are.
    pub size: u64,
}

impl ByteRange {
    /// The part that a `Range` header asks for, of something of `size` bytes.
    ///
    /// A header that is no single range of bytes asks for the whole, as RFC 9110 has it.
    ///
    /// # Errors
    /// When it begins at or beyond the end.
    pub fn from_header(header: Option<&str>, size: u64) -> Result<Self, UnsatisfiableRange> {
        match header.and_then(bounds) {
            None => Ok(ByteRange::Full),
            Some((None, Some(0))) => Err(UnsatisfiableRange { size }),
            // The last bytes of nothing are none, and no answer could say where they are.
            Some((None, _)) if size == 0 => Err(UnsatisfiableRange { size }),
            Some((None, last)) => Ok(ByteRange::Partial(
                size.saturating_sub(last.unwrap_or(size))..size,
            )),
            Some((Some(from), _)) if from >= size => Err(UnsatisfiableRange { size }),
            Some((Some(from), to)) => {
                let end = to.map_or(size, |to| to.saturating_add(1).min(size));
                Ok(ByteRange::Partial(from..end))
            }
        }
    }

    /// The bytes of something of `size` bytes.
    pub fn bytes(&self, size: u64) -> Range<u64> {
        match self {
            ByteRange::Full => 0..size,
            ByteRange::Partial(range) => range.clone(),
        }
    }

    /// The `Content-Range` of an answer with it; `None` for the whole.
    pub fn content_range(&self, size: u64) -> Option<String> {
        match self {
            ByteRange::Full => None,
            ByteRange::Partial(range) => {
                let last = range.end.saturating_sub(1);
                Some(format!("bytes {}-{last}/{size}", range.start))
            }
        }
    }
}

/// The first and the last byte of `bytes=A-B`, `bytes=A-`, or (`None`, the length) of `bytes=-N`.
fn bounds(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (from, to) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (from.trim(), to.trim()) {
        ("", to) => Some((None, Some(number(to)?))),
        (from, "") => Some((Some(number(from)?), None)),
        (from, to) => {
            let (from, to) = (number(from)?, number(to)?);
            (from <= to).then_some((Some(from), Some(to)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        for (value, expected) in [
            ("bytes=0-3", Some(ByteRange::Partial(0..4))),
            ("bytes=4-", Some(ByteRange::Partial(4..10))),
            ("bytes=4-99", Some(ByteRange::Partial(4..10))),
            ("bytes=-3", Some(ByteRange::Partial(7..10))),
            ("bytes=-99", Some(ByteRange::Partial(0..10))),
            ("bytes=10-", None),
            ("bytes=-0", None),
            ("bytes=3-1", Some(ByteRange::Full)),
            ("bytes=0-1,3-4", Some(ByteRange::Full)),
            ("lines=0-1", Some(ByteRange::Full)),
            ("bytes=x", Some(ByteRange::Full)),
        ] {
            assert_eq!(
                ByteRange::from_header(Some(value), 10).ok(),
                expected,
                "{value}"
            );
        }
        assert!(ByteRange::from_header(Some("bytes=0-"), 0).is_err());
        assert!(ByteRange::from_header(Some("bytes=-5"), 0).is_err());
        assert_eq!(ByteRange::from_header(None, 0), Ok(ByteRange::Full));
        assert_eq!(
            ByteRange::Partial(4..10).content_range(10).unwrap(),
            "bytes 4-9/10"
        );
    }
}
