//! Range requests and their responses.

use actix_web::HttpResponse;
use actix_web::HttpResponseBuilder;
use actix_web::http::header::{self, HeaderMap};
use slipway_domain::byte_range::{ByteRange, UnsatisfiableRange};

use crate::error::{ApiError, ApiResult};

/// The range that a request asks for, of `size` bytes.
///
/// # Errors
/// [`ApiError::Range`] if it starts at or after the end.
pub(crate) fn requested_range(headers: &HeaderMap, size: u64) -> ApiResult<ByteRange> {
    let value = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    ByteRange::from_header(value, size)
        .map_err(|UnsatisfiableRange { size }| ApiError::Range { size })
}

/// Starts the response with a range of `size` bytes: 200 for all of them, else 206.
pub(crate) fn range_response(part: &ByteRange, size: u64) -> HttpResponseBuilder {
    let mut response = match part.content_range(size) {
        None => HttpResponse::Ok(),
        Some(content_range) => {
            let mut response = HttpResponse::PartialContent();
            response.insert_header((header::CONTENT_RANGE, content_range));
            response
        }
    };
    response.insert_header((header::ACCEPT_RANGES, "bytes"));
    // Traces and archives come from strangers; a browser must not guess that they are HTML.
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    let range = part.bytes(size);
    // With a known length a client can tell a complete body from one that broke off.
    response.no_chunking(range.end - range.start);
    response
}
