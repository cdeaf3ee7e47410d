//! Jobs: asked for, reported on, and their traces.

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_RANGE, RANGE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use slipway_domain::ReportedResult;
use slipway_farm::{
    Ended, Farm, FarmError, Poll, PollAnswer, Process, Report, SentTrace, Standing,
};
use slipway_protocol::LAST_UPDATE_HEADER;

use crate::params::{given, range_start, read_body};
use crate::runner_v4::auth::{Params, authenticated, job_id, job_token};
use crate::runner_v4::convert::{Home, about, payload, reason};
use crate::runner_v4::error::RunnerV4Error;
use crate::runner_v4::wire::{JobRequest, Update};
use crate::runner_v4::{Answer, INTERVAL_S, JOB_STATUS, UPDATE_INTERVAL};
use crate::{address, convert};

/// `POST /api/v4/jobs/request`: gives the caller the next job it can run.
///
/// 201 with the job; 204 when none came within the poll wait, or the runner is paused; 400 without a
/// token; 403 for an unknown one.
pub(crate) async fn request(
    farm: web::Data<Farm>,
    http: HttpRequest,
    Params(request): Params<JobRequest>,
) -> Answer {
    let (runner, _) = authenticated(&farm, &http, request.token).await?;
    let info = request.info.unwrap_or_default();
    let poll = Poll {
        process: Process {
            system_id: given(request.system_id),
            graceful: info.can("cancel_gracefully"),
        },
        about: Some((about(&info), false)),
        last_value: request.last_update,
    };
    Ok(match farm.poll(&runner, poll).await? {
        PollAnswer::Job(claimed) => {
            let running = farm.running_jobs(claimed.project.id).await?;
            let home = Home {
                base: address::base(&farm, &http),
                uuid: farm.uuid(),
            };
            HttpResponse::Created().json(payload(&claimed, &home, running))
        }
        PollAnswer::Nothing { value } => HttpResponse::NoContent()
            .insert_header((LAST_UPDATE_HEADER, value))
            .finish(),
        PollAnswer::Paused => HttpResponse::NoContent().finish(),
    })
}

/// `PUT /api/v4/jobs/:id`: says how a job goes.
///
/// 200 when it is stored, or was; 400 for a state that a runner cannot tell, or without a token; 403
/// for another token, and for a job that is over in another way.
pub(crate) async fn update(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    Params(request): Params<Update>,
) -> Answer {
    let token = job_token(&http, request.token.clone());
    let token = token.ok_or(RunnerV4Error::Missing("token"))?;
    let id = job_id(&id)?;
    let Some(report) = report(request) else {
        // Who may report is decided before what is reported is looked at.
        farm.standing(id, &token).await?;
        return Err(RunnerV4Error::BadRequest(
            "state does not have a valid value".to_owned(),
        ));
    };
    let standing = farm.report_own(id, &token, report).await?;
    Ok(with_status(&mut HttpResponse::Ok(), standing).json(200))
}

/// `PATCH /api/v4/jobs/:id/trace`: appends to a trace.
///
/// 202 with what is stored and the job's state; 400 without a `Content-Range` that can be read; 403
/// for another token and for a job that is over; 416 with what is stored.
pub(crate) async fn append_trace(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    payload: web::Payload,
) -> Answer {
    let id = job_id(&id)?;
    let token = job_token(&http, None).ok_or(FarmError::BadToken)?;
    farm.active_job_access(id, &token).await?;
    let (start, body) = ranged(&http, payload.into_inner()).await?;
    let (length, standing) = farm.append_own_trace(id, &token, start, body).await?;
    Ok(with_status(&mut HttpResponse::Accepted(), standing)
        .insert_header((RANGE, format!("0-{length}")))
        .finish())
}

/// Bytes, and where they begin. Clients disagree on what the end of a range is.
async fn ranged(
    http: &HttpRequest,
    payload: Payload,
) -> Result<(u64, bytes::Bytes), RunnerV4Error> {
    let range = http.headers().get(CONTENT_RANGE);
    let start = range.and_then(|range| range.to_str().ok().and_then(range_start));
    let start = start.ok_or_else(|| {
        RunnerV4Error::BadRequest("Content-Range is not START-END in bytes".to_owned())
    })?;
    Ok((start, read_body(payload).await?))
}

fn with_status(builder: &mut HttpResponseBuilder, standing: Standing) -> &mut HttpResponseBuilder {
    let word = match standing.ending {
        true => "canceling",
        false => convert::status(&standing.state),
    };
    builder
        .insert_header((JOB_STATUS, word))
        .insert_header((UPDATE_INTERVAL, INTERVAL_S.to_string()))
}

/// A report in the farm's words; `None` for a state that no runner tells.
fn report(request: Update) -> Option<Report> {
    let result = match request.state.as_deref() {
        Some("running") => return Some(Report::default()),
        Some("success") => ReportedResult::Succeeded,
        Some("failed") => ReportedResult::Failed(reason(request.failure_reason.as_deref())),
        _ => return None,
    };
    let output = request.output.unwrap_or_default();
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

/// The value of `crc32:` with eight hex digits; nothing of a checksum of another kind.
fn crc32(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("crc32:")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_another_kind_say_nothing() {
        assert_eq!(crc32("crc32:0000000f"), Some(15));
        for text in ["", "crc32:", "crc32:xyz", "sha256:00", "0000000f"] {
            assert_eq!(crc32(text), None, "{text}");
        }
    }
}
