//! Claiming jobs, reporting on them, and appending to their traces.

use actix_web::http::header::{CONTENT_RANGE, RANGE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use slipway_domain::ReportedResult;
use slipway_farm::{
    Ended, Farm, FarmError, JobAccess, JobStatus, ManagerInfo, Poll, PollAnswer, Report, SentTrace,
};
use slipway_http::{Body, UnreadBody};
use slipway_protocol::LAST_UPDATE_HEADER;

use crate::base_url::base_url;
use crate::convert;
use crate::params::{
    non_empty, range_start, read_body, read_known_params, read_params, token_in_query,
};
use crate::runner_v4::auth::{authenticated, job_id, job_token};
use crate::runner_v4::convert::{Instance, about, failure_reason, payload};
use crate::runner_v4::error::RunnerV4Error;
use crate::runner_v4::params::Params;
use crate::runner_v4::wire::{JobRequest, UpdateRequest};
use crate::runner_v4::{Answer, JOB_STATUS, UPDATE_INTERVAL_HEADER, UPDATE_INTERVAL_S};

/// `POST /api/v4/jobs/request`: claims the next job that the runner can run.
///
/// 201 with the job; 204 if no job arrived within the poll wait, or the runner is paused; 400 if
/// the token is missing; 403 if it is unknown.
pub(crate) async fn request(
    farm: web::Data<Farm>,
    http: HttpRequest,
    Params(request): Params<JobRequest>,
) -> Answer {
    let (runner, _) = authenticated(&farm, &http, request.token).await?;
    let info = request.info.unwrap_or_default();
    let poll = Poll {
        request: None,
        manager: ManagerInfo {
            system_id: non_empty(request.system_id),
            graceful: info.has_feature("cancel_gracefully"),
        },
        about: Some((about(&info), false)),
        last_value: request.last_update,
    };
    Ok(match farm.poll(&runner, poll).await? {
        PollAnswer::Job(claimed) => {
            let instance = Instance {
                base_url: base_url(&farm, &http),
                uuid: farm.uuid(),
            };
            HttpResponse::Created().json(payload(&claimed, &instance))
        }
        PollAnswer::Nothing { value } => HttpResponse::NoContent()
            .insert_header((LAST_UPDATE_HEADER, value))
            .finish(),
        PollAnswer::Paused => HttpResponse::NoContent().finish(),
    })
}

/// `PUT /api/v4/jobs/:id`: reports the progress or the result of a job.
///
/// 200 if the report is stored, also if it was stored before; 400 if the token is missing, or
/// runners may not report this state; 403 if the token is wrong, or the job has finished in another
/// state.
pub(crate) async fn update(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    body: UnreadBody,
) -> Answer {
    // A token in the query or the header is checked before the body is read.
    let request: UpdateRequest = match job_token(&http, token_in_query(&http)) {
        Some(token) => {
            let access = farm.own_job_access(job_id(&id)?, &token).await?;
            read_known_params(&http, body, &access).await?
        }
        None => read_params(&http, body).await?,
    };
    let token = job_token(&http, request.token.clone());
    let token = token.ok_or(RunnerV4Error::MissingParameter("token"))?;
    let id = job_id(&id)?;
    // Only the holder of the token learns what is wrong with the request.
    let access = farm.own_job_access(id, &token).await?;
    let Some(report) = report(request) else {
        return Err(RunnerV4Error::BadRequest(
            "state does not have a valid value".to_owned(),
        ));
    };
    let standing = farm.report_own(&access, report).await?;
    // The body is the status number, as in GitLab. Runners ignore it.
    Ok(with_status(&mut HttpResponse::Ok(), standing).json(200))
}

/// `PATCH /api/v4/jobs/:id/trace`: appends a chunk to a trace.
///
/// 202 with the stored length and the job's status; 400 if `Content-Range` is missing or invalid;
/// 403 if the token is wrong or the job has finished; 416 with the stored length if the chunk does
/// not start there.
pub(crate) async fn append_trace(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    body: UnreadBody,
) -> Answer {
    let id = job_id(&id)?;
    let token = job_token(&http, None).ok_or(FarmError::BadToken)?;
    let access = farm.active_job_access(id, &token).await?;
    let (start, body) = read_chunk(&http, body, &access).await?;
    let (length, standing) = farm.append_own_trace(&access, start, body.bytes()).await?;
    Ok(with_status(&mut HttpResponse::Accepted(), standing)
        // A length, not the index of the last byte.
        .insert_header((RANGE, format!("0-{length}")))
        .finish())
}

/// A chunk of a trace, and its offset. The end of the range is ignored: it is inclusive from runner
/// 11.3 on, and exclusive before.
async fn read_chunk(
    http: &HttpRequest,
    body: UnreadBody,
    access: &JobAccess,
) -> Result<(u64, Body), RunnerV4Error> {
    let range = http.headers().get(CONTENT_RANGE);
    let start = range.and_then(|range| range.to_str().ok().and_then(range_start));
    let start = start.ok_or_else(|| {
        RunnerV4Error::BadRequest("Content-Range must be START-END, in bytes".to_owned())
    })?;
    Ok((start, read_body(body, access).await?))
}

fn with_status(builder: &mut HttpResponseBuilder, standing: JobStatus) -> &mut HttpResponseBuilder {
    // A canceled job that its runner may still finish (`after_script`, uploads) is stored as
    // canceled.
    let status = if standing.ending {
        "canceling"
    } else {
        convert::job_status(&standing.state)
    };
    builder
        .insert_header((JOB_STATUS, status))
        .insert_header((UPDATE_INTERVAL_HEADER, UPDATE_INTERVAL_S.to_string()))
}

/// A report in the farm's terms; `None` if runners may not report the state.
fn report(request: UpdateRequest) -> Option<Report> {
    let result = match request.state.as_deref() {
        // A keep-alive: it only renews the lease. Traces are never part of a report in v4.
        Some("running") => return Some(Report::default()),
        Some("success") => ReportedResult::Succeeded,
        Some("failed") => ReportedResult::Failed(failure_reason(request.failure_reason.as_deref())),
        _ => return None,
    };
    let output = request.output.unwrap_or_default();
    // Runners send both; the second is the older place.
    let checksum = output.checksum.or(request.checksum);
    Some(Report {
        ended: Some(Ended {
            result,
            message: None,
            trace: None,
            image: None,
            exit_code: request.exit_code,
            build_steps: Vec::new(),
        }),
        sent: SentTrace {
            length: output.bytesize,
            crc32: checksum.as_deref().and_then(crc32),
        },
        ..Report::default()
    })
}

/// The value of a `crc32:` checksum; `None` for other kinds.
fn crc32(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("crc32:")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_other_kinds_are_ignored() {
        assert_eq!(crc32("crc32:0000000f"), Some(15));
        for text in ["", "crc32:", "crc32:xyz", "sha256:00", "0000000f"] {
            assert_eq!(crc32(text), None, "{text}");
        }
    }
}
