//! What a build says: from some entry on while it does, and whole afterwards.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use slipway_farm::{BuildLog, FarmError};

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
    if convert::is_archived(phase) {
        let logs_url = convert::log_url(&call);
        return Ok(HttpResponse::Ok().json(wire::Archived { logs_url }));
    }
    let start = Query::of(&call.http).start()?;
    let log = call.farm.build_log(&build, start).await?;
    Ok(streamed(start, log))
}

/// `GET /logarchive/{build_uuid}`: the whole log of a build, for those who may build.
///
/// 200; 403 for everything else, builds that are not there among it. The token may as well be the
/// password of the user `$oauthtoken`.
pub(crate) async fn archived(LoginCall(call): LoginCall) -> Answer {
    let refused = |error: FarmError| match error {
        FarmError::NotFound(_) | FarmError::Forbidden(_) | FarmError::ReadOnly => {
            QuayError::forbidden()
        }
        error => error.into(),
    };
    let actor = call.actor().map_err(|_| QuayError::forbidden())?;
    let id = call.build_id().ok_or_else(QuayError::forbidden)?;
    let found = call
        .farm
        .build(actor, id, slipway_domain::Role::Reader)
        .await;
    let (access, build) = found.map_err(refused)?;
    access
        .require(Need::Write.role(&call.farm))
        .map_err(refused)?;
    let log = call.farm.build_log(&build, 0).await?;
    Ok(streamed(0, log))
}

/// Answers with a log, entry by entry as they are read.
fn streamed(start: i64, log: BuildLog) -> HttpResponse {
    let head = format!("{{\"start\":{start},\"total\":{},\"logs\":[", log.total);
    let head = stream::iter([Ok(Bytes::from(head))]);
    let tail = stream::iter([Ok(Bytes::from_static(b"]}"))]);
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .streaming(head.chain(texts(log)).chain(tail))
}

/// The entries as JSON, with commas between them.
fn texts(log: BuildLog) -> impl Stream<Item = Result<Bytes, QuayError>> {
    log.entries.enumerate().map(|(index, entry)| {
        let text = serde_json::to_string(&convert::entry(entry?));
        let text = text.map_err(|error| FarmError::Internal(Box::new(error)))?;
        let comma = if index == 0 { "" } else { "," };
        Ok(Bytes::from(format!("{comma}{text}")))
    })
}
