//! Builds and images.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use slipway_farm::Farm;
use slipway_http::{check_declared_length, read_body};

use crate::convert;
use crate::error::ConveyorError;
use crate::extract::{Caller, identity};

/// The longest body of a request for a build, in bytes.
const MAX_REQUEST: usize = 1 << 20;

type Answer = Result<HttpResponse, ConveyorError>;

/// `POST /builds`: builds a commit, or the head of a branch.
///
/// 201 with the build; 400 for a body that cannot be read; 401; 403 to those who see the project
/// but do not build; 404 without such a project; 409 while a build of the commit is not over; 413;
/// 422 when a repository, or both branch and sha, are missing, or there is no such branch; 502 when
/// the repository could not be asked.
pub(crate) async fn create_build(
    farm: Data<Farm>,
    caller: Caller,
    http: HttpRequest,
    payload: Payload,
) -> Answer {
    check_declared_length(http.headers(), MAX_REQUEST)?;
    let body = read_body(payload, MAX_REQUEST).await?;
    let request = convert::request(&body)?;
    let (project, build) = farm.request_commit(&caller.0, request).await?;
    Ok(HttpResponse::Created().json(convert::build(&project, &build)))
}

/// `GET /builds/{uuid}`, `GET /builds/{owner}/{name}@{sha}`: a build; of a commit the newest one.
///
/// 200; 401; 404.
pub(crate) async fn get_build(farm: Data<Farm>, caller: Caller, http: HttpRequest) -> Answer {
    let identity = identity(&http)?;
    let (project, build) = farm.find_build(&caller.0, &identity).await?;
    Ok(HttpResponse::Ok().json(convert::build(&project, &build)))
}

/// `GET /artifacts/{uuid}`, `GET /artifacts/{owner}/{name}@{sha}`: an image, by its own id, its
/// build's, or its commit, of which the newest one that was built.
///
/// 200; 401; 404, also as long as there is none.
pub(crate) async fn get_artifact(farm: Data<Farm>, caller: Caller, http: HttpRequest) -> Answer {
    let identity = identity(&http)?;
    let image = farm.find_image(&caller.0, &identity).await?;
    Ok(HttpResponse::Ok().json(convert::artifact(&image)))
}

/// Any other method: 404.
pub(crate) async fn not_there() -> Answer {
    Err(ConveyorError::NotThere)
}
