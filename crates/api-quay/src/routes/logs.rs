//! What a build says: from some entry on while it does, and whole afterwards.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use slipway_domain::Role;
use slipway_farm::{BuildLog, FarmError, LogEntry};

use crate::builds::named_build;
use crate::call::{Call, LoginCall, Need};
use crate::error::QuayError;
use crate::query::Query;
use crate::{Answer, convert, wire};

/// `GET /api/v1/repository/{repository}/build/{build_uuid}/logs`: the log of a build.
///
/// 200 with the entries from `start` on, or with the URL of the whole log once the build is over;
/// 400 when there is no such build, or `start` is no number; 401; 403; 404 when it is another
/// repository's.
pub(crate) async fn entries(call: Call) -> Answer {
    let (_, build) = named_build(&call, Need::Logs).await?;
    let phase = call.farm.package_phase(&build).await?;
    if call.farm.log_is_complete(&build, phase) {
        let logs_url = convert::log_url(&call);
        return Ok(HttpResponse::Ok().json(wire::Archived { logs_url }));
    }
    let start = Query::of(&call.http).start()?;
    let log = call.farm.build_log(&build, start).await?;
    streamed(start, log).await
}

/// `GET /logarchive/{build_uuid}`: the whole log of a build, for those who may read logs.
///
/// 200; 403 for everything else, builds that are not there among it. The token may as well be the
/// password of the user `$oauthtoken`.
pub(crate) async fn archived(LoginCall(call): LoginCall) -> Answer {
    let refused = |error: FarmError| match error {
        FarmError::NotFound(_) | FarmError::Forbidden(_) => QuayError::forbidden(),
        error => error.into(),
    };
    let id = call.build_id().ok_or_else(QuayError::forbidden)?;
    let found = match call.actor() {
        Ok(actor) => call.farm.build(actor, id, Role::Guest).await,
        Err(_) => Err(FarmError::NotFound("build")),
    };
    let found = match found {
        Err(FarmError::NotFound(_)) => call.farm.public_build(id).await,
        found => found,
    };
    let (access, build) = found.map_err(refused)?;
    Need::Logs.check(&call.farm, &access).map_err(refused)?;
    let log = call.farm.build_log(&build, 0).await?;
    streamed(0, log).await
}

/// Answers with a log, entry by entry as they are read. A log of which nothing can be read now is
/// as good as one without entries: clients ask again.
async fn streamed(start: i64, mut log: BuildLog) -> Answer {
    let mut first = Vec::new();
    // What is told of phases comes from rows; the first line tells whether lines can be read.
    while let Some(entry) = log.entries.next().await {
        match entry {
            Err(error @ FarmError::Unavailable(_)) => {
                error.log();
                let nothing = BuildLog {
                    total: 0,
                    entries: stream::empty().boxed(),
                };
                return Ok(whole(start, nothing, Vec::new()));
            }
            entry => first.push(entry?),
        }
        if !matches!(first.last(), Some(LogEntry::Phase { .. })) {
            break;
        }
    }
    Ok(whole(start, log, first))
}

/// The answer with a log that begins with the entries of `first`.
fn whole(start: i64, log: BuildLog, first: Vec<LogEntry>) -> HttpResponse {
    let head = format!("{{\"start\":{start},\"total\":{},\"logs\":[", log.total);
    let head = stream::iter([Ok(Bytes::from(head))]);
    let tail = stream::iter([Ok(Bytes::from_static(b"]}"))]);
    let entries = stream::iter(first).map(Ok).chain(log.entries);
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .streaming(head.chain(texts(entries)).chain(tail))
}

/// The entries as JSON, with commas between them.
fn texts(
    entries: impl Stream<Item = Result<LogEntry, FarmError>>,
) -> impl Stream<Item = Result<Bytes, QuayError>> {
    entries.enumerate().map(|(index, entry)| {
        let text = serde_json::to_string(&convert::entry(entry?));
        let text = text.map_err(|error| FarmError::Internal(Box::new(error)))?;
        let comma = if index == 0 { "" } else { "," };
        Ok(Bytes::from(format!("{comma}{text}")))
    })
}
