//! Traces: what is stored of one, and what comes.

use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use slipway_domain::Role;
use slipway_domain::byte_range::ByteRange;
use slipway_farm::{Farm, FarmError, TraceEvent};
use slipway_http::{Event, event_stream};

use crate::convert;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::JobPath;
use crate::range;
use crate::wire;

type Answer<T> = Result<T, ApiError>;

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
        Some(wire::Offset(0)) => ByteRange::Full,
        Some(wire::Offset(from)) if from < size => ByteRange::Partial(from..size),
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
/// it; an event `end` has `{"state","failure_reason"}` and is the last one, as is an event `lagged`
/// to a client that is too slow. A stream that breaks off or lagged is resumed with its last id as
/// `Last-Event-ID`.
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
        .streaming(event_stream(written(events, from).boxed())))
}

/// The events in the form in which they are sent. A failure ends the stream without an `end`, so
/// that the client comes again.
fn written(
    events: BoxStream<'static, Result<TraceEvent, FarmError>>,
    from: u64,
) -> impl Stream<Item = Bytes> {
    stream::unfold((events, from), |(mut events, mut at)| async move {
        loop {
            let event = match events.next().await? {
                Ok(event) => event,
                Err(error) => {
                    error.log();
                    return None;
                }
            };
            if let TraceEvent::Piece(piece) = &event {
                at = piece.end();
            }
            if let Some(frame) = frame(&event, at) {
                return Some((frame, (events, at)));
            }
        }
    })
}

/// How the pieces of a trace are said here.
struct Chunk;

/// One event of a trace that was told up to `at` with it.
fn frame(event: &TraceEvent, at: u64) -> Option<Bytes> {
    let text = |event, data: Result<String, serde_json::Error>| {
        let frame = Event {
            id: Some(at),
            event,
            data: &data.unwrap_or_default(),
        };
        frame.text()
    };
    Some(match event {
        TraceEvent::Piece(piece) => piece.encoded::<Chunk>(|piece| {
            let chunk = wire::TraceChunk {
                offset: piece.start(),
                base64: STANDARD.encode(piece.bytes()),
            };
            text("chunk", serde_json::to_string(&chunk))
        }),
        TraceEvent::CaughtUp => return None,
        TraceEvent::Lagged => text("lagged", Ok("{}".to_owned())),
        TraceEvent::End { state } => {
            text("end", serde_json::to_string(&convert::trace_end(*state)))
        }
    })
}

/// Logs what cuts a body short: it is too late for another answer.
pub(crate) fn logged<T>(item: Result<T, FarmError>) -> Result<T, ApiError> {
    item.map_err(|error| {
        error.log();
        ApiError::Farm(error)
    })
}
