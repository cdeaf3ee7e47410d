//! The log of a build: its text as it is written.

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use slipway_farm::{Build, BuildTraceEvent, Farm, FarmError};
use tokio::time::timeout;

use super::{Answer, identity};
use crate::auth::OptionalCaller;
use crate::error::ConveyorError;

/// The longest silence of the stream. Some proxies cut connections that idle longer.
const HEARTBEAT: Duration = Duration::from_secs(25);
/// What is sent as a heartbeat: clients write it to a terminal, which does not show it.
const NUL: &[u8] = b"\0";
/// The end of a log that was cut because its reader was too slow.
const TOO_SLOW: &str = "\n[the log was not read fast enough and is cut off here]\n";

/// `GET /logs/{uuid}`, `GET /logs/{owner}/{name}@{sha}`: the log of a build from its beginning,
/// until the build is finished. For a build that has not started, the response waits.
///
/// 200; 401, also without credentials unless the builds of the project are public; 404; 503 if
/// stored bytes are missing.
pub(super) async fn follow(farm: Data<Farm>, caller: OptionalCaller, http: HttpRequest) -> Answer {
    let build = visible_build(&farm, &caller, &http).await?;
    farm.check_traces_of(build.id).await?;
    let text = with_lag_notice(farm.follow_build(build.id)).boxed();
    Ok(answer().streaming(with_heartbeats(text, HEARTBEAT)))
}

/// `HEAD /logs/…`: like GET, but immediately and without the text.
///
/// 200; 401; 404.
pub(super) async fn head(farm: Data<Farm>, caller: OptionalCaller, http: HttpRequest) -> Answer {
    visible_build(&farm, &caller, &http).await?;
    Ok(answer().finish())
}

async fn visible_build(
    farm: &Farm,
    caller: &OptionalCaller,
    http: &HttpRequest,
) -> Result<Build, ConveyorError> {
    let identity = identity(http);
    let (_, build) = match &caller.0 {
        Some(actor) => farm.find_build(actor, &identity?).await?,
        None => {
            // An anonymous caller must not learn which paths are well-formed, so that a private
            // build and a malformed path look the same.
            let identity = identity.map_err(|_| FarmError::BadToken)?;
            farm.find_public_build(&identity).await?
        }
    };
    Ok(build)
}

fn answer() -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/plain; charset=utf-8")
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CACHE_CONTROL, "no-store"))
        // nginx would hold lines back until its buffer is full.
        .insert_header(("x-accel-buffering", "no"));
    answer
}

/// Adds a notice for the reader where the text is cut because the reader was too slow.
fn with_lag_notice(
    text: impl Stream<Item = Result<BuildTraceEvent, FarmError>>,
) -> impl Stream<Item = Result<Bytes, FarmError>> {
    text.flat_map(|item| {
        let items = match item {
            Ok(BuildTraceEvent::Bytes(bytes)) => vec![Ok(bytes)],
            Ok(BuildTraceEvent::Lagged) => {
                let why = FarmError::Unavailable("the reader of a log was too slow".to_owned());
                vec![Ok(Bytes::from_static(TOO_SLOW.as_bytes())), Err(why)]
            }
            Err(error) => vec![Err(error)],
        };
        stream::iter(items)
    })
}

/// Adds a NUL byte whenever the text has been silent for `interval`. After an error the body is cut
/// off without its end, so that clients do not take it for complete.
fn with_heartbeats(
    text: impl Stream<Item = Result<Bytes, FarmError>> + Unpin + 'static,
    interval: Duration,
) -> impl Stream<Item = Result<Bytes, ConveyorError>> {
    stream::unfold(text, move |mut text| async move {
        let item = match timeout(interval, text.next()).await {
            Err(_) => Ok(Bytes::from_static(NUL)),
            Ok(None) => return None,
            Ok(Some(Ok(bytes))) => Ok(bytes),
            Ok(Some(Err(error))) => {
                error.log();
                Err(ConveyorError::Farm(error))
            }
        };
        Some((item, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;

    #[actix_web::test]
    async fn a_nul_byte_is_sent_after_every_interval_of_silence() {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let text = stream::unfold(receiver, |mut receiver| async move {
            Some((Ok(receiver.recv().await?), receiver))
        });
        let mut body = Box::pin(with_heartbeats(text.boxed(), Duration::from_millis(20)));
        sender.send(Bytes::from_static(b"a")).await.unwrap();
        assert_eq!(body.try_next().await.unwrap().unwrap(), "a");
        assert_eq!(body.try_next().await.unwrap().unwrap(), NUL);
        assert_eq!(body.try_next().await.unwrap().unwrap(), NUL);
        sender.send(Bytes::from_static(b"b")).await.unwrap();
        drop(sender);
        let rest: Vec<Bytes> = body.try_collect().await.unwrap();
        assert_eq!(rest.concat(), b"b");
    }
}
