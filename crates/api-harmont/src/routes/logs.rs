//! The live stream of a job's log: history first, then chunks, then the end.

use std::borrow::Cow;

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use slipway_farm::{Farm, FarmError, TraceEvent, TracePiece};
use slipway_http::{Event, event_stream};

use crate::problem::{Answer, Problem};
use crate::wire;

const HISTORY: &str = "event: history\ndata: {\"chunks\":[";
const HISTORY_END: &str = "]}\n\n";
const DONE: Event<'_> = Event {
    id: None,
    event: "done",
    data: "{}",
};
/// What a client is told that is too slow. The frames of this stream are fixed, so it is a comment.
const TOO_SLOW: &str = ": too slow; go on with the last id\n\n";

/// `GET /v0/jobs/{job_id}/logs?token=…`: the log of a job as server-sent events. Only the token
/// counts; other credentials are passed over.
///
/// 200; 401 for a token that is missing, none, or not good any more; 403 when its build has no such
/// job.
pub(crate) async fn follow(farm: Data<Farm>, http: HttpRequest, job: Path<String>) -> Answer {
    let query = Query::<wire::StreamQuery>::from_query(http.query_string());
    let Ok(Query(query)) = query else {
        return Err(Problem::Log(FarmError::BadToken));
    };
    let job = farm.job_by_log_token(&query.token, &job).await;
    let job = job.map_err(Problem::Log)?;
    let from = resume_point(http.headers(), query.last_event_id.as_deref());
    let events = farm.follow_trace(job, from).boxed();
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header(("x-accel-buffering", "no"));
    if let Some(origin) = allowed_origin(&farm, http.headers()) {
        answer.insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
        answer.insert_header((VARY, "origin"));
    }
    Ok(answer.streaming(event_stream(frames(events).boxed())))
}

/// The first byte that is wanted: after the one that the header names, or else the query. What is
/// no whole number says nothing.
fn resume_point(headers: &HeaderMap, query: Option<&str>) -> u64 {
    let header = headers.get("last-event-id");
    let header = header.map(|value| value.to_str().unwrap_or_default());
    let seq = header.or(query).and_then(|text| text.parse::<i128>().ok());
    u64::try_from(seq.unwrap_or(0).max(0)).unwrap_or(u64::MAX)
}

fn allowed_origin<'a>(farm: &Farm, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let allowed = &farm.settings().log_origins;
    allowed
        .iter()
        .any(|known| *known == *origin)
        .then_some(origin)
}

/// Where a stream is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Beginning,
    History,
    Chunks,
    End,
}

/// The events in the form in which they are sent. A failure ends the stream without `done`.
fn frames(events: BoxStream<'static, Result<TraceEvent, FarmError>>) -> impl Stream<Item = Bytes> {
    let state = (events, At::Beginning);
    stream::unfold(state, |(mut events, at)| async move {
        if at == At::End {
            return None;
        }
        let event = match events.next().await? {
            Ok(event) => event,
            // A job that is gone is over.
            Err(FarmError::NotFound(_)) => {
                return Some((ended(at, &DONE.text()), (events, At::End)));
            }
            Err(error) => {
                error.log();
                return None;
            }
        };
        let (text, at) = match (event, at) {
            (TraceEvent::Piece(piece), At::Chunks) => (chunk_frame(&piece), at),
            (TraceEvent::Piece(piece), _) => {
                let before = if at == At::Beginning { HISTORY } else { "," };
                (joined(before, &chunk(&piece)), At::History)
            }
            (TraceEvent::CaughtUp, _) => (ended(at, b""), At::Chunks),
            (TraceEvent::Lagged, _) => (ended(at, TOO_SLOW.as_bytes()), At::End),
            (TraceEvent::End { .. }, _) => (ended(at, &DONE.text()), At::End),
        };
        Some((text, (events, at)))
    })
}

/// Ends the history, if it has not ended, and goes on with `text`.
fn ended(at: At, text: &[u8]) -> Bytes {
    match at {
        At::Beginning => joined(HISTORY, &[HISTORY_END.as_bytes(), text].concat()),
        At::History => joined(HISTORY_END, text),
        At::Chunks | At::End => Bytes::copy_from_slice(text),
    }
}

fn joined(before: &str, after: &[u8]) -> Bytes {
    [before.as_bytes(), after].concat().into()
}

/// How a piece is said in the history.
struct Chunk;
/// How a piece is said on its own.
struct ChunkFrame;

fn chunk(piece: &TracePiece) -> Bytes {
    piece.said::<Chunk>(|piece| chunk_json(piece).into())
}

fn chunk_frame(piece: &TracePiece) -> Bytes {
    piece.said::<ChunkFrame>(|piece| {
        let frame = Event {
            id: Some(piece.end()),
            event: "chunk",
            data: &chunk_json(piece),
        };
        frame.text()
    })
}

fn chunk_json(piece: &TracePiece) -> String {
    let content: Cow<'_, str> = String::from_utf8_lossy(piece.bytes());
    let chunk = wire::Chunk {
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
    fn a_stream_goes_on_after_the_number_that_the_client_says() {
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
    fn the_history_ends_wherever_the_stream_does() {
        let done = "event: done\ndata: {}\n\n";
        let whole = format!("event: history\ndata: {{\"chunks\":[]}}\n\n{done}");
        assert_eq!(ended(At::Beginning, &DONE.text()), whole);
        assert_eq!(ended(At::History, &DONE.text()), format!("]}}\n\n{done}"));
        assert_eq!(ended(At::Chunks, &DONE.text()), done);
    }
}
