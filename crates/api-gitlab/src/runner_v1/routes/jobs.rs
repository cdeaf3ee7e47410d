//! Claiming jobs, reporting on them, and appending to their traces.

use std::time::Duration;

use actix_web::http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE};
use actix_web::{HttpRequest, HttpResponse, web};
use slipway_farm::{Farm, FarmError, ManagerInfo, Poll, PollAnswer};
use slipway_http::UnreadBody;
use slipway_protocol::{ClaimRequest, JOB_STATUS_HEADER, TRACE_FOLLOWED_HEADER};

use crate::convert;
use crate::params::{non_empty, range_start, read_body};
use crate::runner_v1::Answer;
use crate::runner_v1::auth::{authenticated, job_token};
use crate::runner_v1::convert::{FileVariables, about, payload, report};
use crate::runner_v1::error::RunnerV1Error;
use crate::runner_v1::params::{Params, SentReport, job_id, read_report};
use crate::runner_v1::user_agent::UserAgent;

/// `POST /ci/api/v1/builds/register[.json]`: claims the next job that the runner can run.
///
/// 201 with the job; 204 or 404, depending on the client, if no job arrived within the poll wait;
/// 400 if the request id is invalid; 403 if the token is missing or unknown; 404 if the runner is
/// paused. With the request id of a poll that claimed a job, the same job as long as it runs.
pub(crate) async fn request(
    farm: web::Data<Farm>,
    user_agent: UserAgent,
    http: HttpRequest,
    Params(request): Params<ClaimRequest>,
) -> Answer {
    let runner = authenticated(&farm, &http, request.token).await?;
    let files = FileVariables::of(request.info.as_ref());
    let request_id = non_empty(request.request_id);
    let poll = Poll {
        request: request_id
            .map(|id| id.parse())
            .transpose()
            .map_err(FarmError::from)?,
        about: request.info.map(|info| about(Some(info))),
        last_value: request.last_update,
        manager: ManagerInfo::default(),
    };
    Ok(match farm.poll(&runner, poll).await? {
        // The content type must be exactly `application/json`: some runners lose the job otherwise.
        PollAnswer::Job(claimed) => HttpResponse::Created().json(payload(&claimed, files)),
        PollAnswer::Nothing { value } => user_agent.no_build_response(&value),
        // 404 for every client, and without the header that makes the next poll wait.
        PollAnswer::Paused => return Err(RunnerV1Error::NotFound),
    })
}

/// `PUT /ci/api/v1/builds/:id[.json]`: reports the progress or the result of a job.
///
/// 200 if the report is stored; 403 if the token is unknown or the job was erased; 404 if the job
/// is not running on this runner, which is how the runner learns of a cancel; 416 if our runner
/// reports a result before the whole trace is stored. An invalid id is a probe (`gitlab-runner
/// verify`) and answers 404; what it reports about the runner is stored.
///
/// With `Prefer: wait=N` (RFC 7240, section 4.3) the reply to a heartbeat is held for up to N
/// seconds while the job's state does not change.
pub(crate) async fn update(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    body: UnreadBody,
) -> Answer {
    let SentReport {
        runner,
        request,
        body: _counted,
    } = read_report(&farm, &http, body).await?;
    // Checked after the token: to a probe, 403 means that the runner was deleted and 404 that it
    // exists.
    let Some(id) = job_id(&id) else {
        farm.record_contact(&runner, request.info.map(|info| about(Some(info))))
            .await?;
        return Err(RunnerV1Error::NotYourBuild);
    };
    let mut report = report(request);
    report.wait = preferred_wait(http.headers());
    match farm.report(&runner, id, report).await {
        Ok(state) => Ok(HttpResponse::Ok()
            .insert_header((JOB_STATUS_HEADER, convert::job_status(&state)))
            .finish()),
        // The runner aborts the job.
        Err(FarmError::NotFound(_) | FarmError::Refused(_)) => Err(RunnerV1Error::NotYourBuild),
        Err(error) => Err(error.into()),
    }
}

/// `PATCH /ci/api/v1/builds/:id/trace.txt`: appends a chunk to a trace.
///
/// 202 with the stored length and the job's status; 400 if `Content-Range` is missing or invalid;
/// 403 if the token is wrong, or the job has ended or was erased; 404 if the job does not exist; 416
/// with the stored length if the chunk does not start there.
pub(crate) async fn append_trace(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    body: UnreadBody,
) -> HttpResponse {
    match try_append(&farm, &id, &http, body).await {
        Ok(answer) => answer,
        Err(error) => error.as_text(),
    }
}

async fn try_append(farm: &Farm, id: &str, http: &HttpRequest, body: UnreadBody) -> Answer {
    let id = job_id(id).ok_or(RunnerV1Error::NotFound)?;
    let token = job_token(http, None);
    let start = match http.headers().get(CONTENT_RANGE) {
        None => Err(RunnerV1Error::MissingRange),
        Some(range) => range.to_str().ok().and_then(range_start).ok_or_else(|| {
            RunnerV1Error::BadRequest("Content-Range must be START-END, in bytes".to_owned())
        }),
    };
    // Only the holder of the token learns what is wrong with the request.
    let access = farm.job_access(id, &token).await?;
    let (start, body) = (start?, read_body(body, &access).await?);
    let appended = farm.append_trace(&access, start, body.bytes()).await?;
    let mut answer = HttpResponse::Accepted();
    if farm.is_trace_followed(id) {
        answer.insert_header((TRACE_FOLLOWED_HEADER, "true"));
    }
    // 202 is the only status of success, and `Range` is a length, not the index of the last byte.
    Ok(answer
        .insert_header((JOB_STATUS_HEADER, convert::job_status(&appended.state)))
        .insert_header((RANGE, format!("0-{}", appended.length)))
        .insert_header((CONTENT_TYPE, "text/plain"))
        .finish())
}

/// The time in `Prefer: wait=N`, in seconds.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let prefer = headers.get("Prefer")?.to_str().ok()?;
    let wait = prefer
        .split([',', ';'])
        .find_map(|item| item.trim().strip_prefix("wait="))?;
    wait.trim().parse().ok().map(Duration::from_secs)
}
