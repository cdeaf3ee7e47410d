//! Builds of a repository: listed, asked for, looked at, called off.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use slipway_domain::UploadId;
use slipway_farm::{Build, FarmError, PackageRequest, ProjectAccess};

use crate::body::{Fields, Order};
use crate::call::{Call, Need, Place};
use crate::error::QuayError;
use crate::query::Query;
use crate::{Answer, convert, wire};

/// `GET /api/v1/repository/{repository}/build/`: the builds of a repository, newest first.
///
/// 200, also without a build for a repository that is not there in a namespace of the caller's;
/// 400 for a parameter that is no number; 401 without a token for what is not public; 403.
pub(crate) async fn list(call: Call) -> Answer {
    let place = call.repository(Need::Read).await?;
    let query = Query::of(&call.http);
    let (since, limit) = (query.since()?, query.limit()?);
    let builds = match place {
        Place::Nowhere => Vec::new(),
        Place::Project(access) => {
            let found = call.farm.builds_since(&access, since, limit).await?;
            let told = call.farm.told_builds(&access, found).await?;
            let shown = told
                .into_iter()
                .map(|told| convert::build(&call, &access, told));
            shown.collect()
        }
    };
    Ok(HttpResponse::Ok().json(wire::Builds { builds }))
}

/// `POST /api/v1/repository/{repository}/build/`: asks for a build of a package.
///
/// 201 with the build, and where its status is; 400 for a body or a source that cannot be; 401; 403
/// without the right to build, to use the robot or to use the file; 404 without such a repository
/// or robot; 413; 415; 429 when the namespace has as many builds as it may; 503 when nothing may
/// change there now.
pub(crate) async fn create(call: Call, body: actix_web::web::Payload) -> Answer {
    let place = call.repository(Need::Write).await?;
    let order = Order::try_from(Fields::read(&call.http, body).await?)?;
    let access = place.project()?;
    let file = order.file.clone();
    let upload = match &file {
        None => None,
        Some(id) => Some(id.parse::<UploadId>().map_err(|_| no_file(id))?),
    };
    let request = PackageRequest {
        url: order.url,
        upload,
        location: order.location,
        tags: order.tags,
        pull_robot: order.robot,
    };
    let made = call
        .farm
        .create_package_build(call.actor()?, &access, request);
    let build = made.await.map_err(|error| match (error, &file) {
        (FarmError::NotFound("file"), Some(id)) => no_file(id),
        (error, _) => error.into(),
    })?;
    let list = call.http.path();
    let location = format!("{list}{}/status", build.uuid);
    let shown = shown(&call, &access, build).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(shown))
}

fn no_file(id: &str) -> QuayError {
    QuayError::invalid(format!("File {id} could not be found or is invalid"))
}

/// `GET /api/v1/repository/{repository}/build/{build_uuid}`: one build.
///
/// 200; 401 without a token for what is not public; 403; 404 when the repository has no such build.
pub(crate) async fn get(call: Call) -> Answer {
    let access = call.repository(Need::Read).await?.project()?;
    let id = call.build_id().ok_or_else(QuayError::not_found)?;
    let build = call.farm.build_in(&access, id).await?;
    Ok(HttpResponse::Ok().json(shown(&call, &access, build).await?))
}

/// `GET /api/v1/repository/{repository}/build/{build_uuid}/status`: one build, the same as without
/// the last word.
///
/// 200; 400 when there is no such build; 401 without a token for what is not public; 403; 404 when
/// it is another repository's.
pub(crate) async fn status(call: Call) -> Answer {
    let (access, build) = named_build(&call, Need::Read).await?;
    Ok(HttpResponse::Ok().json(shown(&call, &access, build).await?))
}

/// The build that the path names, where an unknown one is told in a sentence.
pub(crate) async fn named_build(
    call: &Call,
    need: Need,
) -> Result<(ProjectAccess, Build), QuayError> {
    let access = call.repository(need).await?.project()?;
    let unknown = || QuayError::UnknownBuild(call.build_text().to_owned());
    let id = call.build_id().ok_or_else(unknown)?;
    let found = call.farm.build_in(&access, id).await;
    let build = found.map_err(|error| match error {
        FarmError::NotFound("build") => unknown(),
        error => error.into(),
    })?;
    Ok((access, build))
}

/// `DELETE /api/v1/repository/{repository}/build/{build_uuid}`: calls a build off.
///
/// 204; 400 when it pushes or is over; 401; 403; 404 when the repository has no such build; 503
/// when nothing may change there now.
pub(crate) async fn cancel(call: Call) -> Answer {
    let access = call.repository(Need::Admin).await?.project()?;
    let id = call.build_id().ok_or_else(QuayError::not_found)?;
    let build = call.farm.build_in(&access, id).await?;
    let canceled = call.farm.cancel_package_build(&access, &build).await;
    canceled.map_err(|error| match error {
        FarmError::Conflict(_) => QuayError::NotCancelable,
        error => error.into(),
    })?;
    Ok(HttpResponse::NoContent().finish())
}

async fn shown(
    call: &Call,
    access: &ProjectAccess,
    build: Build,
) -> Result<wire::Build, QuayError> {
    let told = call.farm.told_builds(access, vec![build]).await?;
    let told = told.into_iter().next().ok_or_else(QuayError::not_found)?;
    Ok(convert::build(call, access, told))
}
