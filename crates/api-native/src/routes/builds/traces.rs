//! Traces: the stored bytes, and the live stream of a growing trace.

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

use crate::auth::Caller;
use crate::byte_range;
use crate::convert;
use crate::error::{ApiError, ApiResult};
use crate::wire;
use crate::wire::paths::JobPath;

/// Reads the stored bytes of a trace.
///
/// The trace of a running job ends where its runner has sent it so far.
///
/// Status: 200; 206 for a `Range`, or for an `offset` other than 0; 400 if the id or the offset is
/// invalid; 401 without a valid token; 404 if the job does not exist; 416 if the range or the
/// offset is at or after the end; 503 if stored bytes are missing.
#[utoipa::path(
    tag = "traces",
    params(JobPath, wire::TraceQuery),
    responses(
        (status = 200, content_type = "text/plain", body = String),
        (status = 206, content_type = "text/plain", body = String),
    )
)]
#[get("/jobs/{id}/trace")]
pub(crate) async fn get_trace(
    farm: Data<Farm>,
    caller: Caller,
    request: HttpRequest,
    path: Path<JobPath>,
    query: Query<wire::TraceQuery>,
) -> ApiResult<HttpResponse> {
    let (_, job) = farm.job(&caller.0, path.id, Role::Reader).await?;
    let size = farm.trace_extent(job.id).await?.length;
    let part = match query.offset {
        None => byte_range::requested_range(request.headers(), size)?,
        Some(wire::Offset(0)) => ByteRange::Full,
        Some(wire::Offset(from)) if from < size => ByteRange::Partial(from..size),
        Some(_) => return Err(ApiError::Range { size }),
    };
    let bytes = farm.trace_bytes(job.id, part.bytes(size)).await?;
    Ok(byte_range::range_response(&part, size)
        .content_type("text/plain; charset=utf-8")
        .streaming(bytes.map(log_error)))
}

/// Streams a trace as server-sent events while it grows.
///
/// An event `chunk` has the data `{"offset","base64"}`; its event id is the offset of the byte
/// after it. An event `end` has the data `{"state","failure_reason"}` and is the last one. An
/// event `lagged` ends the stream of a client that reads too slowly.
///
/// To resume a stream, send the id of the last event as `Last-Event-ID`.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 404 if the job does not
/// exist; 503 if stored bytes are missing.
#[utoipa::path(
    tag = "traces",
    params(
        JobPath,
        ("Last-Event-ID" = Option<u64>, Header, description = "The first byte to send, from 0."),
    ),
    responses((status = 200, content_type = "text/event-stream", body = String))
)]
#[get("/jobs/{id}/trace/stream")]
pub(crate) async fn stream_trace(
    farm: Data<Farm>,
    caller: Caller,
    request: HttpRequest,
    path: Path<JobPath>,
) -> ApiResult<HttpResponse> {
    let (_, job) = farm.job(&caller.0, path.id, Role::Reader).await?;
    let from = match request.headers().get("last-event-id") {
        None => 0,
        Some(value) => {
            let value = value.to_str().unwrap_or_default();
            let wire::Offset(from) = value
                .parse()
                .map_err(|why: &str| ApiError::Malformed(why.to_owned()))?;
            from
        }
    };
    farm.check_trace(job.id, from).await?;
    let events = farm.follow_trace(job.id, from).boxed();
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // nginx would collect events before it sends them on.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(event_stream(event_frames(events, from).boxed())))
}

/// The events as they are sent. An error ends the stream without an `end`, so that the client
/// reconnects.
fn event_frames(
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

/// The key under which the frame of a piece is cached, so that it is encoded once for all readers.
struct Chunk;

/// One event as it is sent; `at` is the offset of the byte after it.
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

/// Logs an error in the middle of a body, when it is too late for an error response.
pub(crate) fn log_error<T>(item: Result<T, FarmError>) -> Result<T, ApiError> {
    item.map_err(|error| {
        error.log();
        ApiError::Farm(error)
    })
}
