//! Parts of things: the `Range` header as far as one range goes, and the answers to it.

use std::ops::Range;

use actix_web::HttpResponse;
use actix_web::HttpResponseBuilder;
use actix_web::http::header::{self, HeaderMap};

use crate::error::ApiError;

/// Which part of something is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it, with 200.
    Whole,
    /// These bytes, with 206.
    Bytes(Range<u64>),
}

impl Part {
    /// The part that a request asks for, of something of `size` bytes.
    ///
    /// A header that is no single range of bytes asks for the whole, as RFC 9110 has it.
    ///
    /// # Errors
    /// `Range` when it begins at or beyond the end.
    pub(crate) fn asked_for(headers: &HeaderMap, size: u64) -> Result<Self, ApiError> {
        let value = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
        match value.and_then(bounds) {
            None => Ok(Part::Whole),
            Some((None, Some(0))) => Err(ApiError::Range { size }),
            Some((None, last)) => Ok(Part::Bytes(size.saturating_sub(last.unwrap_or(size))..size)),
            Some((Some(from), _)) if from >= size => Err(ApiError::Range { size }),
            Some((Some(from), to)) => {
                let end = to.map_or(size, |to| to.saturating_add(1).min(size));
                Ok(Part::Bytes(from..end))
            }
        }
    }

    /// The bytes of something of `size` bytes.
    pub(crate) fn bytes(&self, size: u64) -> Range<u64> {
        match self {
            Part::Whole => 0..size,
            Part::Bytes(range) => range.clone(),
        }
    }

    /// Begins the answer.
    pub(crate) fn answer(&self, size: u64) -> HttpResponseBuilder {
        let mut answer = match self {
            Part::Whole => HttpResponse::Ok(),
            Part::Bytes(range) => {
                let last = range.end.saturating_sub(1);
                let mut answer = HttpResponse::PartialContent();
                let content = format!("bytes {}-{last}/{size}", range.start);
                answer.insert_header((header::CONTENT_RANGE, content));
                answer
            }
        };
        answer.insert_header((header::ACCEPT_RANGES, "bytes"));
        answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        let range = self.bytes(size);
        answer.no_chunking(range.end - range.start);
        answer
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

    fn part(value: &'static str, size: u64) -> Option<Part> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, header::HeaderValue::from_static(value));
        Part::asked_for(&headers, size).ok()
    }

    #[test]
    fn ranges_are_those_of_http() {
        for (value, expected) in [
            ("bytes=0-3", Some(Part::Bytes(0..4))),
            ("bytes=4-", Some(Part::Bytes(4..10))),
            ("bytes=4-99", Some(Part::Bytes(4..10))),
            ("bytes=-3", Some(Part::Bytes(7..10))),
            ("bytes=-99", Some(Part::Bytes(0..10))),
            ("bytes=10-", None),
            ("bytes=-0", None),
            ("bytes=3-1", Some(Part::Whole)),
            ("bytes=0-1,3-4", Some(Part::Whole)),
            ("lines=0-1", Some(Part::Whole)),
            ("bytes=x", Some(Part::Whole)),
        ] {
            assert_eq!(part(value, 10), expected, "{value}");
        }
        assert_eq!(part("bytes=0-", 0), None);
    }
}
