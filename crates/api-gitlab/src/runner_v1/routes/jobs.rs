//! Jobs: asked for, reported on, and their traces.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE};
use actix_web::{HttpRequest, HttpResponse, web};
use slipway_farm::{Farm, FarmError, Poll, PollAnswer, Process};
use slipway_protocol::{ClaimRequest, JOB_STATUS_HEADER, UpdateRequest};

use crate::agent::Agent;
use crate::convert;
use crate::params::{Params, job_id, job_token, range_start, read_body};
use crate::runner_v1::Answer;
use crate::runner_v1::auth::authenticated;
use crate::runner_v1::convert::{about, payload, report};
use crate::runner_v1::error::RunnerV1Error;

/// `POST /ci/api/v1/builds/register[.json]`: gives the caller the next job it can run.
///
/// 201 with the job; "nothing" (204 or 404, by the client) when none came within the poll wait;
/// 403 for an unknown token; 404 for a paused runner.
pub(crate) async fn request(
    farm: web::Data<Farm>,
    agent: Agent,
    Params(request): Params<ClaimRequest>,
) -> Answer {
    let runner = authenticated(&farm, request.token).await?;
    let poll = Poll {
        about: request.info.map(|info| about(Some(info))),
        last_value: request.last_update,
        process: Process::default(),
    };
    Ok(match farm.poll(&runner, poll).await? {
        PollAnswer::Job(claimed) => HttpResponse::Created().json(payload(&claimed)),
        PollAnswer::Nothing { value } => agent.no_build(&value),
        PollAnswer::Paused => return Err(RunnerV1Error::NotFound),
    })
}

/// `PUT /ci/api/v1/builds/:id[.json]`: says how a job goes. Any id that is none is a probe.
///
/// 200 when it is stored; 403 for an unknown token or an erased job; 404 when the job is not
/// running with this runner, whose end it learns of in this way; 416 when an end is told before
/// the whole trace is there. With `Prefer: wait=N` the answer to a beat is held for up to N
/// seconds while nothing changes (RFC 7240, section 4.3).
pub(crate) async fn update(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    Params(request): Params<UpdateRequest>,
) -> Answer {
    let runner = authenticated(&farm, request.token.clone()).await?;
    let id = job_id(&id).ok_or(RunnerV1Error::NotYourBuild)?;
    let mut report = report(request);
    report.wait = preferred_wait(http.headers());
    match farm.report(&runner, id, report).await {
        Ok(state) => Ok(HttpResponse::Ok()
            .insert_header((JOB_STATUS_HEADER, convert::status(&state)))
            .finish()),
        Err(FarmError::NotFound(_) | FarmError::Refused(_)) => Err(RunnerV1Error::NotYourBuild),
        Err(error) => Err(error.into()),
    }
}

/// `PATCH /ci/api/v1/builds/:id/trace.txt`: appends to a trace.
///
/// 202 with what is stored and the job's state; 400 without a `Content-Range` that can be read;
/// 403 for another token or an erased job; 404 for an unknown one; 416 with what is stored.
pub(crate) async fn append_trace(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    match try_append(&farm, &id, &http, payload.into_inner()).await {
        Ok(answer) => answer,
        Err(error) => error.as_text(),
    }
}

async fn try_append(farm: &Farm, id: &str, http: &HttpRequest, payload: Payload) -> Answer {
    let id = job_id(id).ok_or(RunnerV1Error::NotFound)?;
    let token = job_token(http, None);
    let start = match http.headers().get(CONTENT_RANGE) {
        None => Err(RunnerV1Error::MissingRange),
        Some(range) => range.to_str().ok().and_then(range_start).ok_or_else(|| {
            RunnerV1Error::BadRequest("Content-Range is not START-END in bytes".to_owned())
        }),
    };
    // Who may send is decided before what is sent is looked at.
    farm.check_job_token(id, &token).await?;
    let (start, body) = (start?, read_body(payload).await?);
    let appended = farm.append_trace(id, &token, start, body).await?;
    Ok(HttpResponse::Accepted()
        .insert_header((JOB_STATUS_HEADER, convert::status(&appended.state)))
        .insert_header((RANGE, format!("0-{}", appended.length)))
        .insert_header((CONTENT_TYPE, "text/plain"))
        .finish())
}

/// The seconds of `Prefer: wait=N`.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let prefer = headers.get("Prefer")?.to_str().ok()?;
    let wait = prefer
        .split([',', ';'])
        .find_map(|item| item.trim().strip_prefix("wait="))?;
    wait.trim().parse().ok().map(Duration::from_secs)
}
