//! Builds of a repository: list, create, read and cancel.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use slipway_farm::{Build, FarmError, PackageRequest, ProjectAccess, RequestedUpload};
use slipway_http::UnreadBody;

use super::Answer;
use crate::auth::{Call, Permission, Repository};
use crate::error::QuayError;
use crate::wire::{Fields, NewBuild, Query};
use crate::{convert, wire};

/// `GET /api/v1/repository/{repository}/build/`: the builds of a repository, newest first.
///
/// 200, and an empty list for a missing repository in a namespace of the caller; 400 if a parameter
/// is not a number; 401 without a token unless the repository is public; 403.
pub(super) async fn list(call: Call) -> Answer {
    let repository = call.repository(Permission::Read).await?;
    let query = Query::new(&call.http);
    let (since, limit) = (query.since()?, query.limit()?);
    let builds = match repository {
        Repository::Missing => Vec::new(),
        Repository::Project(access) => {
            let found = call.farm.builds_since(&access, since, limit).await?;
            // Taken before the jobs are read, so that no phase is later than its rows.
            let now = call.farm.now();
            let builds = call.farm.with_jobs(&access, found).await?.into_iter();
            builds
                .map(|build| convert::build(&call, &access, build, now))
                .collect()
        }
    };
    Ok(HttpResponse::Ok().json(wire::Builds { builds }))
}

/// `POST /api/v1/repository/{repository}/build/`: builds a package.
///
/// 201 with the build, and the URL of its status in `Location`; 400 if the body or the source is
/// invalid; 401; 403 if the caller may not build, use the robot or use the file; 404 if the
/// repository or the robot does not exist; 413; 415; 429 if the namespace has reached its limit of
/// builds; 503 while the repository is read-only.
pub(super) async fn create(call: Call, body: UnreadBody) -> Answer {
    // The order of the checks is part of the contract: permission, body, robot, use of the file,
    // repository, file.
    let repository = call.repository(Permission::Write).await?;
    let new = NewBuild::try_from(Fields::read(&call, body).await?)?;
    let file = new.file.clone();
    let upload = file.as_deref().map(|id| match id.parse() {
        Ok(id) => RequestedUpload::Id(id),
        Err(_) => RequestedUpload::Unknown,
    });
    let request = PackageRequest {
        url: new.url,
        upload,
        location: new.location,
        tags: new.tags,
        pull_robot: new.robot,
    };
    let access = match repository {
        Repository::Project(access) => *access,
        Repository::Missing => {
            call.farm
                .check_package_request(call.actor()?, &request)
                .await?;
            return Err(QuayError::not_found());
        }
    };
    let created = call
        .farm
        .create_package_build(call.actor()?, &access, request);
    let build = created.await.map_err(|error| match (error, &file) {
        (FarmError::NotFound("file"), Some(id)) => no_file(id),
        (error, _) => error.into(),
    })?;
    let list = call.http.path();
    let location = format!("{list}{}/status", build.uuid);
    let body = details(&call, &access, build).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(body))
}

fn no_file(id: &str) -> QuayError {
    QuayError::invalid(format!("File {id} could not be found or is invalid"))
}

/// `GET /api/v1/repository/{repository}/build/{build_uuid}`: one build.
///
/// 200; 401 without a token unless the repository is public; 403; 404 if the repository has no such
/// build.
pub(super) async fn get(call: Call) -> Answer {
    let access = call.repository(Permission::Read).await?.project()?;
    let id = call.build_id().ok_or_else(QuayError::not_found)?;
    let build = call.farm.build_in(&access, id).await?;
    Ok(HttpResponse::Ok().json(details(&call, &access, build).await?))
}

/// `GET /api/v1/repository/{repository}/build/{build_uuid}/status`: one build, the
/// same object as from [`get`].
///
/// 200; 400 if no build has this id; 401 without a token unless the repository is public; 403; 404
/// if the build belongs to another repository.
pub(super) async fn status(call: Call) -> Answer {
    let (access, build) = build_or_message(&call, Permission::Read).await?;
    Ok(HttpResponse::Ok().json(details(&call, &access, build).await?))
}

/// The build that the path names, on the routes where an unknown build is a *message*.
pub(super) async fn build_or_message(
    call: &Call,
    need: Permission,
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

/// `DELETE /api/v1/repository/{repository}/build/{build_uuid}`: cancels a build.
///
/// 204; 400 if it pushes its image or is finished; 401; 403; 404 if the repository has no such
/// build; 503 while the repository is read-only.
pub(super) async fn cancel(call: Call) -> Answer {
    let access = call.repository(Permission::Admin).await?.project()?;
    let id = call.build_id().ok_or_else(QuayError::not_found)?;
    let build = call.farm.build_in(&access, id).await?;
    let canceled = call.farm.cancel_package_build(&access, &build).await;
    canceled.map_err(|error| match error {
        FarmError::Conflict(_) => QuayError::NotCancelable,
        error => error.into(),
    })?;
    Ok(HttpResponse::NoContent().finish())
}

async fn details(
    call: &Call,
    access: &ProjectAccess,
    build: Build,
) -> Result<wire::Build, QuayError> {
    let now = call.farm.now();
    let builds = call.farm.with_jobs(access, vec![build]).await?;
    let build = builds.into_iter().next();
    let build = build.ok_or_else(QuayError::not_found)?;
    Ok(convert::build(call, access, build, now))
}
