//! Uploads and downloads of artifacts, as far as the APIs agree.

use actix_multipart::Multipart;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use futures_util::Stream;

use crate::upload_form::SharedBody;

/// How the headers of a download are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DownloadHeaders {
    /// As GitLab 8 does: the file name without quotes, and a `Content-Transfer-Encoding`.
    GitLab8,
    /// As GitLab 10 and later do: the file name in quotes.
    GitLab10,
}

/// Passes the form in `body` to `receive`. If that fails, discards the rest of the body before it
/// returns the error.
pub(crate) async fn receive_form<E>(
    http: &HttpRequest,
    body: web::Payload,
    receive: impl AsyncFnOnce(Multipart) -> Result<HttpResponse, E>,
) -> Result<HttpResponse, E> {
    let mut body = SharedBody::new(body.into_inner());
    let answer = receive(Multipart::new(http.headers(), body.clone())).await;
    if answer.is_err() {
        // To a client that is still sending, a closed connection looks like a network error: it
        // would not see the status, and would upload everything again.
        body.drain().await;
    }
    answer
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
