//! Traces: what is stored of one, and what comes.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use slipway_domain::Role;
use slipway_domain::range::Part;
use slipway_farm::{Farm, FarmError, TraceEvent};
use tokio::time::timeout;

use crate::convert;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::JobPath;
use crate::range;
use crate::wire;

type Answer<T> = Result<T, ApiError>;

/// How long a stream is silent at the most, so that neither end takes it for dead.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// `GET /v1/jobs/{id}/trace`: the trace as far as it is stored, as raw bytes.
///
/// 200; 206 for a `Range`, or for an `offset` other than 0; 400 for an id or an offset that is
/// none; 401; 404 without such a job; 416 when the part begins at or beyond the end.
#[utoipa::path(
    tag = "traces",
    params(JobPath, wire::TraceQuery),
    responses(
        (status = 200, content_type = "text/plain", body = String),
        (status = 206, content_type = "text/plain", body = String),
        (status = 416, body = wire::ErrorBody),
    )
)]
#[get("/jobs/{id}/trace")]
pub(crate) async fn get_trace(
    farm: Data<Farm>,
    caller: Caller,
    request: HttpRequest,
    path: Path<JobPath>,
    query: Query<wire::TraceQuery>,
) -> Answer<HttpResponse> {
    let (_, job) = farm.job(&caller.0, path.id, Role::Reader).await?;
    let size = farm.trace_extent(job.id).await?.length;
    let part = match query.offset {
        None => range::asked_for(request.headers(), size)?,
        Some(wire::Offset(0)) => Part::Whole,
        Some(wire::Offset(from)) if from < size => Part::Bytes(from..size),
        Some(_) => return Err(ApiError::Range { size }),
    };
    let bytes = farm.trace_bytes(job.id, part.bytes(size)).await?;
    Ok(range::answer(&part, size)
        .content_type("text/plain; charset=utf-8")
        .streaming(bytes.map(logged)))
}

/// `GET /v1/jobs/{id}/trace/stream`: the trace as server-sent events, as it grows.
///
/// An event `chunk` has the data `{"offset","base64"}` and as its id the offset of the byte after
/// it; an event `end` has `{"state","failure_reason"}` and is the last one. A stream that breaks
/// off is resumed with its last id as `Last-Event-ID`.
///
/// 200; 400 for an id that is none; 401; 404 without such a job.
#[utoipa::path(
    tag = "traces",
    params(JobPath, ("Last-Event-ID" = Option<u64>, Header, description = "The first byte that is wanted.")),
    responses((status = 200, content_type = "text/event-stream", body = String))
)]
#[get("/jobs/{id}/trace/stream")]
pub(crate) async fn stream_trace(
    farm: Data<Farm>,
    caller: Caller,
    request: HttpRequest,
    path: Path<JobPath>,
) -> Answer<HttpResponse> {
    let (_, job) = farm.job(&caller.0, path.id, Role::Reader).await?;
    let last = request.headers().get("last-event-id");
    let from = match last.map(|value| value.to_str().unwrap_or_default().parse()) {
        None => 0,
        Some(Ok(wire::Offset(from))) => from,
        Some(Err(why)) => return Err(ApiError::Malformed(why.to_owned())),
    };
    let events = farm.follow_trace(job.id, from).boxed();
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(written(events, from)))
}

/// The events in the form in which they are sent. A failure ends the stream without an `end`, so
/// that the client comes again.
fn written(
    events: BoxStream<'static, Result<TraceEvent, FarmError>>,
    from: u64,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((events, from), |(mut events, at)| async move {
        let (text, at) = match timeout(SIGN_OF_LIFE, events.next()).await {
            Err(_) => (": still here\n\n".to_owned(), at),
            Ok(None) => return None,
            Ok(Some(Err(error))) => {
                error.log();
                return None;
            }
            Ok(Some(Ok(event))) => event_text(&event, at),
        };
        Some((Ok(Bytes::from(text)), (events, at)))
    })
}

/// One event, and where the trace is after it.
fn event_text(event: &TraceEvent, at: u64) -> (String, u64) {
    let (name, at, data) = match event {
        TraceEvent::Chunk { offset, bytes } => {
            let chunk = wire::TraceChunk {
                offset: *offset,
                base64: STANDARD.encode(bytes),
            };
            let end = offset + bytes.len() as u64;
            ("chunk", end, serde_json::to_string(&chunk))
        }
        TraceEvent::End { state } => {
            let end = convert::trace_end(*state);
            ("end", at, serde_json::to_string(&end))
        }
    };
    let data = data.unwrap_or_default();
    (format!("event: {name}\nid: {at}\ndata: {data}\n\n"), at)
}

/// Logs what cuts a body short: it is too late for another answer.
pub(crate) fn logged<T>(item: Result<T, FarmError>) -> Result<T, ApiError> {
    item.map_err(|error| {
        error.log();
        ApiError::Farm(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_domain::{JobState, Outcome};

    #[test]
    fn an_event_says_where_to_go_on() {
        let chunk = TraceEvent::Chunk {
            offset: 3,
            bytes: Bytes::from_static(b"a\nb"),
        };
        let (text, at) = event_text(&chunk, 3);
        let expected = "event: chunk\nid: 6\ndata: {\"offset\":3,\"base64\":\"YQpi\"}\n\n";
        assert_eq!((text.as_str(), at), (expected, 6));

        let end = TraceEvent::End {
            state: JobState::Done(Outcome::Succeeded),
        };
        let (text, _) = event_text(&end, at);
        let data = "data: {\"state\":\"succeeded\",\"failure_reason\":null}";
        assert_eq!(text, format!("event: end\nid: 6\n{data}\n\n"));
    }
}
