//! Logs: entries while a build runs, and the whole log when it is finished.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{Stream, StreamExt, stream};
use slipway_domain::Role;
use slipway_farm::{Build, FarmError};

use super::Answer;
use super::builds::build_or_message;
use crate::Settings;
use crate::auth::{Call, LoginCall, Permission};
use crate::error::QuayError;
use crate::log::{BuildLog, LogEntry};
use crate::phases::QuayPhase;
use crate::wire::Query;
use crate::{convert, wire};

/// The number of days after which the log of every finished build is complete.
const COMPLETE_AFTER_DAYS: i64 = 15;

/// `GET /api/v1/repository/{repository}/build/{build_uuid}/logs`: the log of a build.
///
/// 200 with the entries from `start` on, or with the URL of the whole log if the build is finished;
/// 400 if no build has this id, or `start` is not a number; 401; 403; 404 if the build belongs to
/// another repository.
pub(super) async fn entries(call: Call) -> Answer {
    let (_, build) = build_or_message(&call, Permission::Logs).await?;
    let jobs = call.farm.jobs_of(build.id).await?;
    let now = call.farm.now();
    // `start` is ignored, and not even validated, when the log is served as a whole.
    let phase = QuayPhase::of(&build, &jobs, now);
    if is_complete(&build, phase, call.settings(), now) {
        let logs_url = convert::log_url(&call);
        return Ok(HttpResponse::Ok().json(wire::ArchivedLog { logs_url }));
    }
    let start = Query::new(&call.http).start()?;
    let mut log = BuildLog::read(&call.farm, &build, start).await?;
    if let Err(error @ FarmError::ContentMissing { .. }) = log.check(&call.farm).await {
        // As for traces that cannot be read now: the protocol has no other answer.
        error.log();
        log = BuildLog::empty();
    }
    streamed(start, log).await
}

/// Whether the log of a build in this phase is complete and is served as a whole. A build that the
/// farm lost may run again, so its log counts as complete only after a long time.
fn is_complete(build: &Build, phase: QuayPhase, settings: &Settings, now: DateTime<Utc>) -> bool {
    let Some(finished) = build.finished_at else {
        return false;
    };
    let wait = TimeDelta::from_std(settings.log_complete_after).unwrap_or(TimeDelta::MAX);
    let is_old = build.created_at + TimeDelta::days(COMPLETE_AFTER_DAYS) <= now;
    is_old || (phase.is_final() && finished + wait <= now)
}

/// `GET /logarchive/{build_uuid}`: the whole log of a build.
///
/// The token may also be the password of the user `$oauthtoken`.
///
/// 200; 403 in all other cases, also if the build does not exist; 503 if stored bytes of the log are
/// missing, because an empty log would look like the whole one.
pub(super) async fn archived(LoginCall(call): LoginCall) -> Answer {
    // A missing build and a forbidden one must look the same.
    let refused = |error: FarmError| match error {
        FarmError::NotFound(_) | FarmError::Forbidden(_) => QuayError::forbidden(),
        error => error.into(),
    };
    let id = call.build_id().ok_or_else(QuayError::forbidden)?;
    let found = match call.actor() {
        Ok(actor) => call.farm.build(actor, id, Role::Guest).await,
        Err(_) => Err(FarmError::NotFound("build")),
    };
    // Builds of public projects are served to everybody, with or without a token.
    let found = match found {
        Err(FarmError::NotFound(_)) => call.farm.public_build(id).await,
        found => found,
    };
    let (access, build) = found.map_err(refused)?;
    Permission::Logs
        .check(call.settings(), &access)
        .map_err(refused)?;
    let log = BuildLog::read(&call.farm, &build, 0).await?;
    if let Err(error @ FarmError::ContentMissing { .. }) = log.check(&call.farm).await {
        return Err(error.into());
    }
    streamed(0, log).await
}

/// Streams a log entry by entry. If the trace cannot be read at the moment, the log has no entries:
/// clients then ask again.
async fn streamed(start: i64, mut log: BuildLog) -> Answer {
    let mut first = Vec::new();
    // The status is sent before the first entry. Phases come from the database, so only the first
    // entry that comes from a trace shows whether traces can be read.
    while let Some(entry) = log.entries.next().await {
        match entry {
            // Also if they are missing: the protocol has no other answer for it.
            Err(error @ (FarmError::Unavailable(_) | FarmError::ContentMissing { .. })) => {
                error.log();
                return Ok(response(start, BuildLog::empty(), Vec::new()));
            }
            entry => first.push(entry?),
        }
        if !matches!(first.last(), Some(LogEntry::Phase { .. })) {
            break;
        }
    }
    Ok(response(start, log, first))
}

/// The response with the entries of `first`, followed by the rest of `log`.
fn response(start: i64, log: BuildLog, first: Vec<LogEntry>) -> HttpResponse {
    let head = format!("{{\"start\":{start},\"total\":{},\"logs\":[", log.total);
    let head = stream::iter([Ok(Bytes::from(head))]);
    let tail = stream::iter([Ok(Bytes::from_static(b"]}"))]);
    let entries = stream::iter(first).map(Ok).chain(log.entries);
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .streaming(head.chain(json_items(entries)).chain(tail))
}

/// The entries as JSON, separated by commas.
fn json_items(
    entries: impl Stream<Item = Result<LogEntry, FarmError>>,
) -> impl Stream<Item = Result<Bytes, QuayError>> {
    entries.enumerate().map(|(index, entry)| {
        let text = serde_json::to_string(&convert::entry(entry?));
        let text = text.map_err(|error| FarmError::Internal(Box::new(error)))?;
        let comma = if index == 0 { "" } else { "," };
        Ok(Bytes::from(format!("{comma}{text}")))
    })
}
