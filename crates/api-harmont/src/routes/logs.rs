//! The live stream of a job's log: first the history, then chunks, then the end.

use std::borrow::Cow;

use actix_web::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderMap, VARY};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use slipway_farm::{Farm, FarmError, TraceEvent, TracePiece};
use slipway_http::{Event, app_data, event_stream};

use super::Answer;
use crate::Settings;
use crate::error::HarmontError;
use crate::middleware::allowed_origin;
use crate::wire::{Chunk, StreamQuery};

const HISTORY: &str = "event: history\ndata: {\"chunks\":[";
const HISTORY_END: &str = "]}\n\n";
const DONE: Event<'_> = Event {
    id: None,
    event: "done",
    data: "{}",
};
/// What a client receives that reads too slowly. The events of this stream are fixed by its
/// contract, so this is a comment.
const TOO_SLOW: &str = ": too slow; reconnect with the last id\n\n";

/// `GET /v0/jobs/{job_id}/logs?token=…`, also below `/v1`: the log of a job as server-sent events. Other
/// credentials than the token are ignored.
///
/// 200; 401 if the token is missing, invalid or expired; 403 if its build has no such job;
/// 503 if stored bytes are missing.
pub(super) async fn follow(farm: Data<Farm>, http: HttpRequest, job: Path<String>) -> Answer {
    let query = Query::<StreamQuery>::from_query(http.query_string());
    let Ok(Query(query)) = query else {
        return Err(HarmontError::Log(FarmError::BadToken));
    };
    let job = farm.job_by_log_token(&query.token, &job).await;
    let job = job.map_err(HarmontError::Log)?;
    let from = resume_point(http.headers(), query.last_event_id.as_deref());
    farm.check_trace(job, from)
        .await
        .map_err(HarmontError::Log)?;
    let events = farm.follow_trace(job, from).boxed();
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-cache"))
        // nginx would hold events back until its buffer is full.
        .insert_header(("x-accel-buffering", "no"));
    let allowed = &app_data::<Settings>(&http).log_origins;
    if let Some(origin) = allowed_origin(http.headers(), allowed) {
        response.insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
        response.insert_header((VARY, "origin"));
    }
    Ok(response.streaming(event_stream(stream_text(events).boxed())))
}

/// The offset at which the stream starts, from the header or else from the query. Anything but a
/// positive whole number means the beginning; a number beyond `u64` means the end.
fn resume_point(headers: &HeaderMap, query: Option<&str>) -> u64 {
    let header = headers.get("last-event-id");
    let header = header.map(|value| value.to_str().unwrap_or_default());
    // Wide enough for numbers beyond `u64`, which are valid here.
    let seq = header.or(query).and_then(|text| text.parse::<i128>().ok());
    u64::try_from(seq.unwrap_or(0).max(0)).unwrap_or(u64::MAX)
}

/// Which part of the stream is being sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Beginning,
    History,
    Chunks,
    End,
}

/// The stream as it is sent. After a failure it ends without `done`, so that the client reconnects.
fn stream_text(
    events: BoxStream<'static, Result<TraceEvent, FarmError>>,
) -> impl Stream<Item = Bytes> {
    let state = (events, Part::Beginning);
    stream::unfold(state, |(mut events, part)| async move {
        if part == Part::End {
            return None;
        }
        let event = match events.next().await? {
            Ok(event) => event,
            // The job was deleted, so its log is complete.
            Err(FarmError::NotFound(_)) => {
                return Some((closed(part, &DONE.text()), (events, Part::End)));
            }
            Err(error) => {
                error.log();
                return None;
            }
        };
        let (text, part) = match (event, part) {
            (TraceEvent::Piece(piece), Part::Chunks) => (chunk_event(&piece), part),
            // The history is one event, which is sent in pieces as it is read.
            (TraceEvent::Piece(piece), _) => {
                let before = if part == Part::Beginning {
                    HISTORY
                } else {
                    ","
                };
                (joined(before, &chunk(&piece)), Part::History)
            }
            (TraceEvent::CaughtUp, _) => (closed(part, b""), Part::Chunks),
            (TraceEvent::Lagged, _) => (closed(part, TOO_SLOW.as_bytes()), Part::End),
            (TraceEvent::End { .. }, _) => (closed(part, &DONE.text()), Part::End),
        };
        Some((text, (events, part)))
    })
}

/// Closes the history if it is still open, then adds `text`.
fn closed(part: Part, text: &[u8]) -> Bytes {
    match part {
        Part::Beginning => joined(HISTORY, &[HISTORY_END.as_bytes(), text].concat()),
        Part::History => joined(HISTORY_END, text),
        Part::Chunks | Part::End => Bytes::copy_from_slice(text),
    }
}

fn joined(before: &str, after: &[u8]) -> Bytes {
    [before.as_bytes(), after].concat().into()
}

/// The cache key of a piece's text in the history. All followers of a job share that text.
struct InHistory;
/// The cache key of a piece's text as an event of its own.
struct AsEvent;

fn chunk(piece: &TracePiece) -> Bytes {
    piece.encoded::<InHistory>(|piece| chunk_json(piece).into())
}

fn chunk_event(piece: &TracePiece) -> Bytes {
    piece.encoded::<AsEvent>(|piece| {
        let event = Event {
            id: Some(piece.end()),
            event: "chunk",
            data: &chunk_json(piece),
        };
        event.text()
    })
}

fn chunk_json(piece: &TracePiece) -> String {
    // JSON strings are Unicode: other bytes become U+FFFD here and stay as they are in the trace.
    let content: Cow<'_, str> = String::from_utf8_lossy(piece.bytes());
    let chunk = Chunk {
        seq: piece.end(),
        stream_kind: 0,
        content: &content,
        ts: piece.at().and_then(|at| at.timestamp_nanos_opt()),
    };
    // Numbers and strings always have a JSON form.
    serde_json::to_string(&chunk).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn point(header: Option<&'static str>, query: Option<&str>) -> u64 {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(
                "last-event-id".parse().unwrap(),
                HeaderValue::from_static(value),
            );
        }
        resume_point(&headers, query)
    }

    #[test]
    fn a_stream_resumes_after_the_last_event_id() {
        assert_eq!(point(None, None), 0);
        assert_eq!(point(Some("7"), Some("9")), 7);
        assert_eq!(point(None, Some("9")), 9);
        for (text, expected) in [
            ("0", 0),
            ("-4", 0),
            ("x", 0),
            ("", 0),
            ("1.5", 0),
            ("99999999999999999999", u64::MAX),
        ] {
            assert_eq!(point(Some(text), None), expected, "{text}");
            assert_eq!(point(None, Some(text)), expected, "{text}");
        }
    }

    #[test]
    fn the_history_is_closed_wherever_the_stream_ends() {
        let done = "event: done\ndata: {}\n\n";
        let whole = format!("event: history\ndata: {{\"chunks\":[]}}\n\n{done}");
        assert_eq!(closed(Part::Beginning, &DONE.text()), whole);
        assert_eq!(
            closed(Part::History, &DONE.text()),
            format!("]}}\n\n{done}")
        );
        assert_eq!(closed(Part::Chunks, &DONE.text()), done);
    }
}
