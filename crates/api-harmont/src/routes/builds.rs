//! Builds: handed in, listed, read, called off.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;
use serde_json::Value;
use sha2::{Digest, Sha256};
use slipway_domain::{BuildSource, Role};
use slipway_farm::{
    BuildFilter, BuildSubmission, BuildVariables, FarmError, Page, Pipeline, ProjectAccess,
    SubmittedSource,
};

use crate::body::{Fields, said};
use crate::call::{Call, Place, no_pipeline};
use crate::described::{BuildPage, NewBuild, NewBuildBySource};
use crate::paging::Wanted;
use crate::problem::{Answer, Problem};
use crate::shapes::{Build, LogToken};
use crate::{convert, ir};

/// `POST /api/v0/organizations/{org}/builds`: makes a build of the pipeline that a repository has
/// under a name.
///
/// 201 with the build; 400, 413 and 415 for a body that is none; 401; 403 when the pipeline takes
/// no such build, or from nobody in the caller's role; 404 without such an organization or
/// pipeline; 422 for a field or a graph that cannot be.
#[utoipa::path(post, path = "/api/v0/organizations/{org}/builds", operation_id = "createBuildBySource", tag = "builds", params(("org" = String, Path, description = "The short name of the organization.")), request_body = NewBuildBySource, responses((status = 201, description = "The build.", body = Build)))]
pub(crate) async fn create_by_source(call: Call, payload: web::Payload) -> Answer {
    let organization = call.organization().await?;
    let fields = build_fields(&call, payload).await?;
    let (repo_name, source_slug) = (fields.needed("repo_name")?, fields.needed("source_slug")?);
    let found = call
        .farm
        .pipeline_of_source(&call.actor, &organization, repo_name, source_slug);
    let (access, pipeline) = found.await.map_err(no_pipeline)?;
    access.require_builds(Role::Developer)?;
    hand_in(&call, access, pipeline, &fields).await
}

/// `POST /api/v0/organizations/{org}/pipelines/{pipeline}/builds`: makes a build.
///
/// As [`create_by_source`].
#[utoipa::path(post, path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds", operation_id = "createBuild", tag = "builds", params(("org" = String, Path, description = "The short name of the organization."), ("pipeline" = String, Path, description = "The short name of the pipeline.")), request_body = NewBuild, responses((status = 201, description = "The build.", body = Build)))]
pub(crate) async fn create(call: Call, payload: web::Payload) -> Answer {
    let (access, pipeline) = call.pipeline().await?;
    access.require_builds(Role::Developer)?;
    let fields = build_fields(&call, payload).await?;
    hand_in(&call, access, pipeline, &fields).await
}

/// `GET /api/v0/organizations/{org}/pipelines/{pipeline}/builds`: a page of a pipeline's builds,
/// newest first.
///
/// 200; 401; 404 without such an organization or pipeline.
#[utoipa::path(get, path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds", operation_id = "listBuilds", tag = "builds", params(("org" = String, Path, description = "The short name of the organization."), ("pipeline" = String, Path, description = "The short name of the pipeline."), ("limit" = Option<String>, Query, description = "1 to 100; 50 when it is no number."), ("cursor" = Option<String>, Query, description = "Where to go on.")), responses((status = 200, description = "A page.", body = BuildPage)))]
pub(crate) async fn list(call: Call) -> Answer {
    let (access, pipeline) = call.pipeline().await?;
    let wanted = Wanted::of(call.http.query_string());
    let filter = BuildFilter {
        pipeline: Some(pipeline.id),
        ..BuildFilter::default()
    };
    let page = Page {
        before: wanted.cursor,
        limit: wanted.fetched(),
    };
    let builds = call.farm.builds(&access, filter, page).await?;
    let shown = call.farm.detailed_builds(builds).await?;
    let page = wanted.page(
        shown,
        |shown| shown.build.id.0,
        |shown| serde_json::json!(convert::build(&shown, &pipeline)),
    );
    Ok(HttpResponse::Ok().json(page))
}

/// `GET …/builds/{number}`: a build.
///
/// 200; 401; 404 without such an organization, pipeline or build.
#[utoipa::path(get, path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds/{number}", operation_id = "getBuild", tag = "builds", params(("org" = String, Path, description = "The short name of the organization."), ("pipeline" = String, Path, description = "The short name of the pipeline."), ("number" = i64, Path, description = "The number of the build.")), responses((status = 200, description = "The build.", body = Build)))]
pub(crate) async fn read(call: Call) -> Answer {
    let Place {
        pipeline, build, ..
    } = call.build().await?;
    let shown = call.farm.detailed_build(build.id).await?;
    Ok(HttpResponse::Ok().json(convert::build(&shown, &pipeline)))
}

/// `PUT …/builds/{number}/cancel`: calls a build off; one that is over stays as it is.
///
/// 200 with the build; 401; 403 to lower roles than developer; 404 without such an organization,
/// pipeline or build.
#[utoipa::path(put, path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds/{number}/cancel", operation_id = "cancelBuild", tag = "builds", params(("org" = String, Path, description = "The short name of the organization."), ("pipeline" = String, Path, description = "The short name of the pipeline."), ("number" = i64, Path, description = "The number of the build.")), responses((status = 200, description = "The build.", body = Build)))]
pub(crate) async fn cancel(call: Call) -> Answer {
    let Place {
        access,
        pipeline,
        build,
    } = call.build().await?;
    match call.farm.cancel_build(&access, &build).await {
        Ok(_) | Err(FarmError::Conflict(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let shown = call.farm.detailed_build(build.id).await?;
    Ok(HttpResponse::Ok().json(convert::build(&shown, &pipeline)))
}

/// `GET …/builds/{number}/log-token`: a token that opens the logs of a build's jobs, and nothing
/// else, for an hour.
///
/// 200; 401; 404 without such an organization, pipeline or build.
#[utoipa::path(get, path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds/{number}/log-token", operation_id = "getBuildLogToken", tag = "builds", params(("org" = String, Path, description = "The short name of the organization."), ("pipeline" = String, Path, description = "The short name of the pipeline."), ("number" = i64, Path, description = "The number of the build.")), responses((status = 200, description = "The token.", body = LogToken)))]
pub(crate) async fn log_token(call: Call) -> Answer {
    let Place { build, .. } = call.build().await?;
    let token = call.farm.log_token(&build).await?;
    Ok(HttpResponse::Ok().json(LogToken {
        token: token.expose().to_owned(),
        expires_at: token.expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
    }))
}

async fn build_fields(call: &Call, payload: web::Payload) -> Result<Fields, Problem> {
    let limit = call.farm.settings().max_json_bytes;
    Fields::read(&call.http, payload, limit, Problem::BuildInvalid).await
}

/// Makes a build of what stands in a body. Whether the pipeline takes it is told before what is
/// wrong with the body.
async fn hand_in(
    call: &Call,
    access: ProjectAccess,
    pipeline: Pipeline,
    fields: &Fields,
) -> Answer {
    let asked_by = asked_by(fields)?;
    let admission = call.farm.admit(access, pipeline.clone(), asked_by);
    let admission = admission.ok_or(Problem::ManualDisabled)?;
    let given = BuildSubmission {
        branch: said(fields.needed("branch")?),
        commit: said(fields.needed("commit")?),
        message: fields.long_text("message")?.and_then(said),
        env: env(fields)?,
        source: source(call, fields)?,
        graph: graph(fields)?,
    };
    let made = call.farm.submit_build(&call.actor, admission, given).await;
    let build = made.map_err(|error| match error {
        FarmError::Invalid(why) => Problem::BuildInvalid(why),
        error => error.into(),
    })?;
    if let Some(error) = build.handed.error {
        return Err(Problem::PlanRejected(error.message));
    }
    let shown = call.farm.detailed_build(build.id).await?;
    Ok(HttpResponse::Created().json(convert::build(&shown, &pipeline)))
}

fn asked_by(fields: &Fields) -> Result<BuildSource, Problem> {
    match fields.text("source")? {
        None => Ok(BuildSource::Api),
        Some(word) => word
            .parse()
            .map_err(|error: slipway_domain::Invalid| fields.wrong(error.to_string())),
    }
}

fn env(fields: &Fields) -> Result<BuildVariables, Problem> {
    let wrong = || fields.wrong("env is not an object of strings");
    let env: BTreeMap<String, String> = match fields.value("env") {
        None => BTreeMap::new(),
        Some(Value::Object(env)) => {
            let pairs = env.iter();
            let pairs = pairs.map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            pairs.collect::<Option<_>>().ok_or_else(wrong)?
        }
        Some(_) => return Err(wrong()),
    };
    BuildVariables::new(env).map_err(|error| fields.wrong(error.to_string()))
}

/// The sources: the bytes in the body go before an address.
fn source(call: &Call, fields: &Fields) -> Result<SubmittedSource, Problem> {
    let url = fields.text("source_url")?.and_then(said);
    let sha256 = fields.text("source_sha256")?.and_then(said);
    let sha256 = sha256.map(|digest| digest.trim().to_ascii_lowercase());
    let Some(text) = fields.long_text("source_b64")? else {
        return Ok(match url {
            Some(url) => SubmittedSource::Elsewhere { url, sha256 },
            None => SubmittedSource::None,
        });
    };
    let bytes = STANDARD.decode(text);
    let bytes = bytes.map_err(|_| fields.wrong("source_b64 is not base64 with padding"))?;
    if sha256.is_some_and(|digest| digest != hex::encode(Sha256::digest(&bytes))) {
        return Err(fields.wrong("source_sha256 is not the digest of source_b64"));
    }
    let address = call.address("/api/v0/internal/builds/");
    Ok(SubmittedSource::Archive {
        bytes: bytes.into(),
        address: Box::new(move |build| format!("{address}{build}/source.tar.gz")),
    })
}

type Graph = Result<slipway_domain::steps::StepGraph, slipway_farm::BuildError>;

fn graph(fields: &Fields) -> Result<Option<Graph>, Problem> {
    let text = fields.long_text("pipeline_ir")?;
    Ok(text.filter(|text| !text.trim().is_empty()).map(ir::parse))
}
