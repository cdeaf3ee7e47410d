//! Pipelines.

use actix_web::HttpResponse;
use serde_json::Value;
use slipway_domain::RefName;
use slipway_farm::{
    FarmError, NewNamespacePipeline, Pipeline, PipelineUpdate, Project, ProjectSettings,
};
use slipway_http::UnreadBody;

use super::Answer;
use crate::auth::Call;
use crate::convert;
use crate::error::HarmontError;
use crate::wire::{Fields, PageQuery, not_blank};

/// `GET /api/v0/organizations/{org}/pipelines`: a page of an organization's pipelines, oldest
/// first, without archived ones.
///
/// 200; 401; 404.
pub(super) async fn list(call: Call) -> Answer {
    let organization = call.organization().await?;
    let wanted = PageQuery::parse(call.http.query_string());
    let after = wanted.cursor.unwrap_or(0);
    let fetched = call
        .farm
        .pipelines_in(&organization, after, wanted.fetch_limit());
    let page = wanted.page(
        fetched.await?,
        |(pipeline, _)| pipeline.id.0,
        |(pipeline, project)| shown(&call, &pipeline, &project),
    );
    Ok(HttpResponse::Ok().json(page))
}

/// `POST /api/v0/organizations/{org}/pipelines`: creates a pipeline and its project.
///
/// 201; 400, 413 and 415 if the body is invalid; 401; 403 for roles below developer; 404; 422 if a
/// field is invalid or the slug is taken.
pub(super) async fn create(call: Call, body: UnreadBody) -> Answer {
    let organization = call.organization().await?;
    let limit = call.settings().max_json_bytes;
    let fields = Fields::read(&call, body, limit, HarmontError::PipelineInvalid).await?;
    let branch = RefName::parse_branch(fields.required("default_branch")?);
    let branch = branch.map_err(|error| fields.error(error.to_string()))?;
    let new = NewNamespacePipeline {
        title: fields.required("name")?.to_owned(),
        description: fields.text("description")?.map(str::to_owned),
        repo_name: fields.text("repo_name")?.and_then(not_blank),
        settings: ProjectSettings::of_source(fields.required("repository")?, branch),
    };
    let created = call
        .farm
        .create_namespace_pipeline(&call.actor, &organization, new);
    let (pipeline, project) = created.await.map_err(|error| match error {
        FarmError::Invalid(why) => HarmontError::PipelineInvalid(why),
        FarmError::Conflict(_) => HarmontError::SlugTaken,
        error => error.into(),
    })?;
    Ok(HttpResponse::Created().json(shown(&call, &pipeline, &project)))
}

/// `GET /api/v0/organizations/{org}/pipelines/{pipeline}`: one pipeline, archived or not.
///
/// 200; 401; 404.
pub(super) async fn read(call: Call) -> Answer {
    let (access, pipeline) = call.pipeline().await?;
    Ok(HttpResponse::Ok().json(shown(&call, &pipeline, access.project())))
}

/// `DELETE /api/v1/organizations/{org}/pipelines/{pipeline}`: archives a pipeline, which then is in no
/// list. Its builds stay.
///
/// 204; 401; 403 for roles below maintainer; 404.
pub(super) async fn archive(call: Call) -> Answer {
    let (access, pipeline) = call.pipeline().await?;
    let update = PipelineUpdate {
        archived: Some(true),
        ..PipelineUpdate::default()
    };
    call.farm
        .describe_pipeline(&access, &pipeline.slug, update)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A pipeline as the caller's generation shows it.
fn shown(call: &Call, pipeline: &Pipeline, project: &Project) -> Value {
    let id = call.farm.pipeline_uuid(pipeline.id);
    call.with_id(convert::pipeline(pipeline, project), id)
}
