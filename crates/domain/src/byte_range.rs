//! The `Range` header of HTTP (RFC 9110), for a single range of bytes.

use std::ops::Range;

/// The bytes a response contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteRange {
    Full,
    Partial(Range<u64>),
}

/// The requested range starts at or after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the range starts at or after the end; there are only {size} bytes")]
pub struct UnsatisfiableRange {
    /// The number of bytes available.
    pub size: u64,
}

impl ByteRange {
    /// The bytes that a `Range` header requests of a resource of `size` bytes.
    ///
    /// A header that is not a single range of bytes is ignored, as RFC 9110 allows.
    ///
    /// # Errors
    /// `UnsatisfiableRange` if the range starts at or after the end.
    pub fn from_header(header: Option<&str>, size: u64) -> Result<Self, UnsatisfiableRange> {
        match header.and_then(bounds) {
            None => Ok(ByteRange::Full),
            Some((None, Some(0))) => Err(UnsatisfiableRange { size }),
            // An empty resource has no last byte, and `Content-Range` cannot express an empty range.
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

    /// The positions of the bytes in a resource of `size` bytes.
    pub fn bytes(&self, size: u64) -> Range<u64> {
        match self {
            ByteRange::Full => 0..size,
            ByteRange::Partial(range) => range.clone(),
        }
    }

    /// The `Content-Range` header of the response; `None` for the full resource.
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

/// The first and the last byte of `bytes=A-B` or `bytes=A-`; for `bytes=-N`, `None` and the length.
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
    fn range_headers_are_read_as_rfc_9110_says() {
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
