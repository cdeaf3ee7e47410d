//! Parts of things, and the answers with them.

use actix_web::HttpResponse;
use actix_web::HttpResponseBuilder;
use actix_web::http::header::{self, HeaderMap};
use slipway_domain::byte_range::{ByteRange, UnsatisfiableRange};

use crate::error::ApiError;

/// The part that a request asks for, of something of `size` bytes.
///
/// # Errors
/// `Range` when it begins at or beyond the end.
pub(crate) fn asked_for(headers: &HeaderMap, size: u64) -> Result<ByteRange, ApiError> {
    let value = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    ByteRange::from_header(value, size)
        .map_err(|UnsatisfiableRange { size }| ApiError::Range { size })
}

/// Begins the answer with a part of something of `size` bytes: 200, or 206.
pub(crate) fn answer(part: &ByteRange, size: u64) -> HttpResponseBuilder {
    let mut answer = match part.content_range(size) {
        None => HttpResponse::Ok(),
        Some(content) => {
            let mut answer = HttpResponse::PartialContent();
            answer.insert_header((header::CONTENT_RANGE, content));
            answer
        }
    };
    answer.insert_header((header::ACCEPT_RANGES, "bytes"));
    answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    let range = part.bytes(size);
    answer.no_chunking(range.end - range.start);
    answer
}
