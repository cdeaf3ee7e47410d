//! Pipelines.

use actix_web::{HttpResponse, web};
use serde_json::json;
use slipway_domain::GitRef;
use slipway_farm::{FarmError, NewNamespacePipeline, ProjectSettings};

use crate::body::{Fields, said};
use crate::call::Call;
use crate::convert;
use crate::paging::Wanted;
use crate::problem::{Answer, Problem};

/// `GET /api/v0/organizations/{org}/pipelines`: a page of an organization's pipelines, oldest
/// first, without those that are put away.
///
/// 200; 401; 404.
pub(crate) async fn list(call: Call) -> Answer {
    let organization = call.organization().await?;
    let wanted = Wanted::of(call.http.query_string());
    let after = wanted.cursor.unwrap_or(0);
    let fetched = call
        .farm
        .wide_pipelines(&organization, after, wanted.fetched());
    let page = wanted.page(
        fetched.await?,
        |(pipeline, _)| pipeline.id.0,
        |(pipeline, project)| json!(convert::pipeline(&pipeline, &project)),
    );
    Ok(HttpResponse::Ok().json(page))
}

/// `POST /api/v0/organizations/{org}/pipelines`: makes a pipeline, and its project.
///
/// 201; 400, 413 and 415 for a body that is none; 401; 403 to lower roles than developer; 404; 422
/// for a field that cannot be, or when the short name is taken.
pub(crate) async fn create(call: Call, payload: web::Payload) -> Answer {
    let organization = call.organization().await?;
    let limit = call.farm.settings().max_json_bytes;
    let fields = Fields::read(&call.http, payload, limit, Problem::PipelineInvalid).await?;
    let branch: Result<GitRef, _> = fields.needed("default_branch")?.parse();
    let branch = branch.map_err(|error| fields.wrong(error.to_string()))?;
    let new = NewNamespacePipeline {
        title: fields.needed("name")?.to_owned(),
        description: fields.text("description")?.map(str::to_owned),
        repo_name: fields.text("repo_name")?.and_then(said),
        settings: ProjectSettings::of_source(fields.needed("repository")?, branch),
    };
    let made = call
        .farm
        .create_namespace_pipeline(&call.actor, &organization, new);
    let (pipeline, project) = made.await.map_err(|error| match error {
        FarmError::Invalid(why) => Problem::PipelineInvalid(why),
        FarmError::Conflict(_) => Problem::SlugTaken,
        error => error.into(),
    })?;
    Ok(HttpResponse::Created().json(convert::pipeline(&pipeline, &project)))
}

/// `GET /api/v0/organizations/{org}/pipelines/{pipeline}`: one pipeline, put away or not.
///
/// 200; 401; 404.
pub(crate) async fn read(call: Call) -> Answer {
    let (access, pipeline) = call.pipeline().await?;
    Ok(HttpResponse::Ok().json(convert::pipeline(&pipeline, access.project())))
}
