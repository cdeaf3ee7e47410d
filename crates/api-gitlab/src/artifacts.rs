//! Uploads and downloads of artifacts, as far as the APIs agree.

use actix_multipart::Multipart;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::Stream;
use slipway_farm::Farm;
use slipway_http::{BodyStream, UNKNOWN_SENDER_BYTES, UnreadBody};

use crate::upload_form::form;

/// How the headers of a download are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DownloadHeaders {
    /// As GitLab 8 does: the file name without quotes, and a `Content-Transfer-Encoding`.
    GitLab8,
    /// As GitLab 10 and later do: the file name in quotes.
    GitLab10,
}

/// How much of a rejected upload is read before the connection is closed, in bytes. It bounds what
/// a malicious client can make the farm read.
const MAX_DISCARD_BYTES: u64 = 4 << 30;
/// How much of an upload is read before its sender is known, in bytes: the fields before the file.
///
/// More than they need, because the form is read ahead of its fields.
const MAX_BYTES_BEFORE_TOKEN: u64 = 4 * UNKNOWN_SENDER_BYTES as u64;

/// Passes the form in `body` to `receive`, which says who the sender is by [`BodyStream::allow`]. If that
/// fails, discards the rest of a known sender's body before it returns the error.
pub(crate) async fn receive_form<E>(
    http: &HttpRequest,
    body: UnreadBody,
    receive: impl AsyncFnOnce(Multipart, &BodyStream) -> Result<HttpResponse, E>,
) -> Result<HttpResponse, E> {
    let mut body = body.stream_unknown(MAX_BYTES_BEFORE_TOKEN);
    let answer = receive(form(http, &body), &body).await;
    if answer.is_err() {
        // To a client that is still sending, a closed connection looks like a network error: it
        // would not see the status, and would upload everything again.
        body.discard(MAX_DISCARD_BYTES).await;
    }
    answer
}

/// The largest form of an upload, in bytes: the largest archive, and its fields.
pub(crate) fn upload_limit(farm: &Farm) -> u64 {
    const FIELDS_BYTES: u64 = 1 << 20;
    farm.settings()
        .max_artifact_bytes
        .saturating_add(FIELDS_BYTES)
}

/// Answers with an archive, or a part of it, of `length` bytes.
pub(crate) fn archive_response<E>(
    mut builder: HttpResponseBuilder,
    headers: DownloadHeaders,
    filename: &str,
    length: u64,
    content: impl Stream<Item = Result<Bytes, E>> + 'static,
) -> HttpResponse
where
    E: Into<Box<dyn std::error::Error>> + 'static,
{
    let disposition = match headers {
        DownloadHeaders::GitLab8 => {
            builder.insert_header(("Content-Transfer-Encoding", "binary"));
            format!("attachment; filename={filename}")
        }
        DownloadHeaders::GitLab10 => format!("attachment; filename=\"{filename}\""),
    };
    builder
        .insert_header((CONTENT_TYPE, "application/octet-stream"))
        .insert_header((CONTENT_DISPOSITION, disposition))
        .insert_header((CONTENT_LENGTH, length))
        .no_chunking(length)
        .streaming(content)
}
