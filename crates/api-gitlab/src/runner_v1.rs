//! The routes of the runner protocol v1, but for artifacts.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use slipway_domain::base_image::BaseImage;
use slipway_domain::{FailureReason, RegistrationToken, ReportedResult, RunnerToken, TagSet};
use slipway_farm::{
    About, Ended, Extent, Farm, FarmError, MadeImage, Poll, PollAnswer, Process, Registering,
    Report, Runner, SentTrace,
};
use slipway_protocol::{
    ClaimRequest, Info, JOB_STATUS_HEADER, RegisterRequest, RegisteredRunner, TokenRequest,
    UpdateRequest,
};

use crate::agent::Agent;
use crate::error::RunnerV1Error;
use crate::params::{Params, given, job_id, job_token, range_start, read_body};
use crate::{artifacts, convert};

type Answer = Result<HttpResponse, RunnerV1Error>;

/// Adds the routes below `prefix`.
pub(crate) fn configure(config: &mut web::ServiceConfig, prefix: &str) {
    let at = |path: &str| format!("{prefix}{path}");
    config
        .route(&at("/runners/register"), web::post().to(register_runner))
        .route(
            &at("/runners/register.json"),
            web::post().to(register_runner),
        )
        .route(&at("/runners/delete"), web::delete().to(delete_runner))
        .route(&at("/runners/delete.json"), web::delete().to(delete_runner))
        .route(&at("/builds/register"), web::post().to(register))
        .route(&at("/builds/register.json"), web::post().to(register))
        .route(&at("/builds/{id}"), web::put().to(update))
        .route(&at("/builds/{id}/trace.txt"), web::patch().to(append_trace))
        .route(
            &at("/builds/{id}/package"),
            web::get().to(artifacts::package),
        )
        .service(
            web::resource(at("/builds/{id}/artifacts"))
                .route(web::post().to(artifacts::upload))
                .route(web::get().to(artifacts::download))
                .route(web::delete().to(artifacts::remove)),
        );
}

/// `POST /ci/api/v1/runners/register[.json]`: makes a runner.
///
/// 201 with its id and token; 400 without a token, or with tags or texts that are none; 403 for an unknown
/// one; 404 for a runner that could never take a job.
async fn register_runner(
    farm: web::Data<Farm>,
    Params(request): Params<RegisterRequest>,
) -> Answer {
    let token = given(request.token).ok_or(RunnerV1Error::NotGiven("token"))?;
    let tags = TagSet::from_list(request.tag_list.as_deref().unwrap_or_default())
        .map_err(FarmError::from)?;
    let (about, heartbeat) = about(request.info);
    let registering = Registering {
        description: request.description.unwrap_or_default(),
        tags,
        run_untagged: request.run_untagged.unwrap_or(true),
        locked: request.locked.unwrap_or(false),
        heartbeat,
        paused: false,
        about,
    };
    let (runner, token) = farm
        .register_runner(&RegistrationToken::presented(token), registering)
        .await?;
    Ok(HttpResponse::Created().json(RegisteredRunner {
        id: runner.id.0,
        token: token.expose().to_owned(),
    }))
}

/// `DELETE /ci/api/v1/runners/delete[.json]`: removes the runner whose token is given.
///
/// 200; 400 without a token; 403 for an unknown one.
async fn delete_runner(farm: web::Data<Farm>, Params(request): Params<TokenRequest>) -> Answer {
    let token = given(request.token).ok_or(RunnerV1Error::NotGiven("token"))?;
    let runner = farm.runner_by_token(&RunnerToken::presented(token)).await?;
    farm.unregister_runner(&runner).await?;
    Ok(HttpResponse::Ok().finish())
}

/// `POST /ci/api/v1/builds/register[.json]`: gives the caller the next job it can run.
///
/// 201 with the job; "nothing" (204 or 404, by the client) when none came within the poll wait;
/// 403 for an unknown token; 404 for a paused runner.
async fn register(
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
        PollAnswer::Job(claimed) => HttpResponse::Created().json(convert::payload(&claimed)),
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
async fn update(
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
async fn append_trace(
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

async fn authenticated(farm: &Farm, token: Option<String>) -> Result<Runner, RunnerV1Error> {
    let token = given(token).ok_or(FarmError::BadToken)?;
    Ok(farm.runner_by_token(&RunnerToken::presented(token)).await?)
}

/// The seconds of `Prefer: wait=N`.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let prefer = headers.get("Prefer")?.to_str().ok()?;
    let wait = prefer
        .split([',', ';'])
        .find_map(|item| item.trim().strip_prefix("wait="))?;
    wait.trim().parse().ok().map(Duration::from_secs)
}

fn about(info: Option<Info>) -> (About, bool) {
    let info = info.unwrap_or_default();
    let heartbeat = info.features.is_some_and(|features| features.heartbeat);
    let about = About {
        name: info.name,
        version: info.version,
        revision: info.revision,
        platform: info.platform,
        architecture: info.architecture,
        executor: info.executor,
        // A platform that cannot be is nothing to find a runner by.
        platforms: info
            .platforms
            .iter()
            .flat_map(|text| text.parse())
            .collect(),
        image_archives: info
            .features
            .is_some_and(|features| features.image_archives),
    };
    (about, heartbeat)
}

fn report(request: UpdateRequest) -> Report {
    let result = match request.state.as_deref() {
        Some("success") => Some(ReportedResult::Succeeded),
        Some("failed") => {
            let reason = request
                .failure_reason
                .as_deref()
                .and_then(|word| word.parse().ok());
            Some(ReportedResult::Failed(
                reason.unwrap_or(FailureReason::JobFailed),
            ))
        }
        // Unknown states change nothing; so it was upstream.
        _ => None,
    };
    let image = request.image.map(|image| MadeImage {
        reference: image.reference,
        digest: image.digest,
        tags: image.tags,
        size_bytes: image.size_bytes,
        details: image.details,
    });
    let trace = request.trace_sum.map(|sum| Extent {
        length: sum.length,
        crc32: sum.crc32,
    });
    let base_image = request.base_image.and_then(|base| {
        // What is told of it is of no use then, and no reason to lose the report.
        BaseImage::new(&base.image, base.username.as_deref()).ok()
    });
    let (message, exit_code) = (request.failure_message, request.exit_code);
    Report {
        trace: request.trace.map(Bytes::from),
        phase: request.phase.as_deref().and_then(|word| word.parse().ok()),
        base_image,
        ended: result.map(|result| Ended {
            result,
            message,
            trace,
            image,
            exit_code,
            build_steps: request.build_steps,
        }),
        sent: SentTrace::default(),
        wait: None,
    }
}
