//! Builds: create, list, read and cancel.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;
use serde_json::Value;
use sha2::{Digest, Sha256};
use slipway_domain::{BuildSource, Role};
use slipway_farm::{
    BuildDetails, BuildFilter, BuildSubmission, BuildVariables, FarmError, Page, Pipeline,
    PlanErrorCodes, ProjectAccess, SubmittedSource,
};
use slipway_http::UnreadBody;

use super::{Answer, BuildPath, OrganizationPath, PipelinePath};
use crate::auth::{Call, FoundBuild, V0, no_pipeline};
use crate::error::HarmontError;
use crate::wire::{
    Build, BuildPage, Fields, LogToken, NewBuild, NewBuildBySource, PageQuery, not_blank,
};
use crate::{convert, ir};

/// The codes of builds whose jobs could not be planned.
const PLAN_ERROR_CODES: PlanErrorCodes = PlanErrorCodes {
    invalid_graph: ir::INVALID_IR,
    invalid_definition: "render_failed",
};

/// `POST /api/v0/organizations/{org}/builds`: creates a build of the pipeline with a given name
/// in a given repository.
///
/// 201 with the build; 400, 413 and 415 if the body is invalid; 401; 403 if the pipeline does not
/// allow such builds, or the caller's role does not permit them; 404 if the organization or pipeline
/// does not exist; 422 if a field or the graph is invalid.
#[utoipa::path(
    post,
    path = "/api/v0/organizations/{org}/builds",
    operation_id = "createBuildBySource",
    tag = "builds",
    params(OrganizationPath),
    request_body = NewBuildBySource,
    responses((status = 201, description = "The build.", body = Build))
)]
pub(super) async fn create_by_source(call: Call, body: UnreadBody) -> Answer {
    let organization = call.organization().await?;
    let fields = build_fields(&call, body).await?;
    let (repo_name, source_slug) = (
        fields.required("repo_name")?,
        fields.required("source_slug")?,
    );
    // The pipeline's name is in the body here, so the body is read before the role is checked.
    let found = call
        .farm
        .pipeline_of_source(&call.actor, &organization, repo_name, source_slug);
    let (access, pipeline) = found.await.map_err(no_pipeline)?;
    access.require_builds(Role::Developer)?;
    submit(&call, access, pipeline, &fields).await
}

/// `POST /api/v0/organizations/{org}/pipelines/{pipeline}/builds`: creates a build.
///
/// Answers like [`create_by_source`].
#[utoipa::path(
    post,
    path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds",
    operation_id = "createBuild",
    tag = "builds",
    params(PipelinePath),
    request_body = NewBuild,
    responses((status = 201, description = "The build.", body = Build))
)]
pub(super) async fn create(call: Call, body: UnreadBody) -> Answer {
    let (access, pipeline) = call.pipeline().await?;
    access.require_builds(Role::Developer)?;
    let fields = build_fields(&call, body).await?;
    submit(&call, access, pipeline, &fields).await
}

/// `GET /api/v0/organizations/{org}/pipelines/{pipeline}/builds`: a page of a pipeline's builds,
/// newest first.
///
/// 200; 401; 404 if the organization or pipeline does not exist.
#[utoipa::path(
    get,
    path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds",
    operation_id = "listBuilds",
    tag = "builds",
    params(
        PipelinePath,
        (
            "limit" = Option<String>,
            Query,
            description = "Items per page, 1 to 100; 50 if it is not a number."
        ),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of a page.")
    ),
    responses((status = 200, description = "A page.", body = BuildPage))
)]
pub(super) async fn list(call: Call) -> Answer {
    let (access, pipeline) = call.pipeline().await?;
    let wanted = PageQuery::parse(call.http.query_string());
    let filter = BuildFilter {
        pipeline: Some(pipeline.id),
        ..BuildFilter::default()
    };
    let page = Page {
        before: wanted.cursor,
        limit: wanted.fetch_limit(),
    };
    let builds = call.farm.builds(&access, filter, page).await?;
    let builds = call.farm.detailed_builds(builds).await?;
    let page = wanted.page(
        builds,
        |details| details.build.id.0,
        |details| shown(&call, &details, &pipeline),
    );
    Ok(HttpResponse::Ok().json(page))
}

/// `GET …/builds/{number}`: a build.
///
/// 200; 401; 404 if the organization, pipeline or build does not exist.
#[utoipa::path(
    get,
    path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds/{number}",
    operation_id = "getBuild",
    tag = "builds",
    params(BuildPath),
    responses((status = 200, description = "The build.", body = Build))
)]
pub(super) async fn read(call: Call) -> Answer {
    let FoundBuild {
        pipeline, build, ..
    } = call.build().await?;
    let details = call.farm.detailed_build(build.id).await?;
    Ok(HttpResponse::Ok().json(shown(&call, &details, &pipeline)))
}

/// `PUT …/builds/{number}/cancel`: cancels a build. A finished build stays as it is.
///
/// 200 with the build; 401; 403 for roles below developer; 404 if the organization, pipeline or
/// build does not exist.
#[utoipa::path(
    put,
    path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds/{number}/cancel",
    operation_id = "cancelBuild",
    tag = "builds",
    params(BuildPath),
    responses((status = 200, description = "The build.", body = Build))
)]
pub(super) async fn cancel(call: Call) -> Answer {
    let FoundBuild {
        access,
        pipeline,
        build,
    } = call.build().await?;
    // Canceling a finished build is not an error in this API.
    match call.farm.cancel_build(&access, &build).await {
        Ok(_) | Err(FarmError::Conflict(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let details = call.farm.detailed_build(build.id).await?;
    Ok(HttpResponse::Ok().json(shown(&call, &details, &pipeline)))
}

/// `GET …/builds/{number}/log-token`: a token that permits reading the logs of a build's jobs,
/// and nothing else, for an hour.
///
/// 200; 401; 404 if the organization, pipeline or build does not exist.
#[utoipa::path(
    get,
    path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds/{number}/log-token",
    operation_id = "getBuildLogToken",
    tag = "builds",
    params(BuildPath),
    responses((status = 200, description = "The token.", body = LogToken))
)]
pub(super) async fn log_token(call: Call) -> Answer {
    let FoundBuild { build, .. } = call.build().await?;
    let token = call.farm.log_token(&build).await?;
    Ok(HttpResponse::Ok().json(LogToken {
        token: token.expose().to_owned(),
        // The only time of this API without a fraction.
        expires_at: token.expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
    }))
}

/// A build as the caller's generation shows it.
fn shown(call: &Call, details: &BuildDetails, pipeline: &Pipeline) -> Value {
    call.with_id(convert::build(details, pipeline), details.build.uuid.0)
}

async fn build_fields(call: &Call, body: UnreadBody) -> Result<Fields, HarmontError> {
    let limit = call.settings().max_json_bytes;
    Fields::read(call, body, limit, HarmontError::BuildInvalid).await
}

/// Creates the build that a body describes.
async fn submit(call: &Call, access: ProjectAccess, pipeline: Pipeline, fields: &Fields) -> Answer {
    // Whether the pipeline allows the build is checked before the rest of the body.
    let asked_by = asked_by(fields)?;
    let admission = call.farm.admit(access, pipeline.clone(), asked_by);
    let admission = admission.ok_or(HarmontError::ManualDisabled)?;
    let submission = BuildSubmission {
        branch: not_blank(fields.required("branch")?),
        commit: not_blank(fields.required("commit")?),
        message: fields.long_text("message")?.and_then(not_blank),
        env: env(fields)?,
        source: source(call, fields)?,
        graph: graph(fields)?,
        error_codes: PLAN_ERROR_CODES,
    };
    let created = call
        .farm
        .submit_build(&call.actor, admission, submission)
        .await;
    let build = created.map_err(|error| match error {
        FarmError::Invalid(why) => HarmontError::BuildInvalid(why),
        error => error.into(),
    })?;
    // The build exists all the same, and its number is used: the graph failed, not the request.
    if let Some(error) = build.submission.error {
        return Err(HarmontError::PlanRejected(error.message));
    }
    let details = call.farm.detailed_build(build.id).await?;
    Ok(HttpResponse::Created().json(shown(call, &details, &pipeline)))
}

fn asked_by(fields: &Fields) -> Result<BuildSource, HarmontError> {
    match fields.text("source")? {
        None => Ok(BuildSource::Api),
        Some(word) => word
            .parse()
            .map_err(|error: slipway_domain::Invalid| fields.error(error.to_string())),
    }
}

fn env(fields: &Fields) -> Result<BuildVariables, HarmontError> {
    let invalid = || fields.error("env is not an object of strings");
    let env: BTreeMap<String, String> = match fields.value("env") {
        None => BTreeMap::new(),
        Some(Value::Object(env)) => {
            let pairs = env.iter();
            let pairs = pairs.map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            pairs.collect::<Option<_>>().ok_or_else(invalid)?
        }
        Some(_) => return Err(invalid()),
    };
    BuildVariables::new(env).map_err(|error| fields.error(error.to_string()))
}

/// The sources: an archive in the body, or else a URL.
fn source(call: &Call, fields: &Fields) -> Result<SubmittedSource, HarmontError> {
    let url = fields.text("source_url")?.and_then(not_blank);
    let sha256 = fields.text("source_sha256")?.and_then(not_blank);
    let sha256 = sha256.map(|digest| digest.trim().to_ascii_lowercase());
    let Some(text) = fields.long_text("source_b64")? else {
        return Ok(match url {
            Some(url) => SubmittedSource::Elsewhere { url, sha256 },
            None => SubmittedSource::None,
        });
    };
    let bytes = STANDARD.decode(text);
    let bytes = bytes.map_err(|_| fields.error("source_b64 is not base64 with padding"))?;
    // Checked before the build exists, so that a wrong digest uses no number.
    if sha256.is_some_and(|digest| digest != hex::encode(Sha256::digest(&bytes))) {
        return Err(fields.error("source_sha256 is not the digest of source_b64"));
    }
    // Runners download the archive from this API, at the address that the client used.
    let url = call.url(&format!("{V0}/internal/builds/"));
    Ok(SubmittedSource::Archive {
        bytes: bytes.into(),
        address: Box::new(move |build| format!("{url}{build}/source.tar.gz")),
    })
}

type Graph = Result<slipway_domain::steps::StepGraph, slipway_farm::BuildError>;

fn graph(fields: &Fields) -> Result<Option<Graph>, HarmontError> {
    let text = fields.long_text("pipeline_ir")?;
    // A blank graph counts as missing: the pipeline's own definition is used.
    Ok(text.filter(|text| !text.trim().is_empty()).map(ir::parse))
}
