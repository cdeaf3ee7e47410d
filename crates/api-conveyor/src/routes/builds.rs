//! Builds and artifacts.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use slipway_farm::Farm;
use slipway_http::UnreadBody;

use super::{Answer, identity};
use crate::auth::Caller;
use crate::convert;

/// The largest body of `POST /builds`, in bytes.
const MAX_REQUEST: usize = 1 << 20;

/// `POST /builds`: builds a commit, or the head of a branch.
///
/// 201 with the build; 400 if the body cannot be parsed; 401; 403 if the caller may see the project
/// but not build it; 404 if the project does not exist; 409 while another build of the commit is
/// not finished; 413; 422 if the repository, or both branch and sha, are missing, or the branch
/// does not exist; 502 if the git host could not be asked.
pub(super) async fn create_build(farm: Data<Farm>, caller: Caller, body: UnreadBody) -> Answer {
    // The body is read as JSON whatever its `Content-Type` is: Conveyor does not check that.
    let body = body.read(&caller.0, MAX_REQUEST).await?;
    let request = convert::commit_request(&body)?;
    let (project, build) = farm.request_commit(&caller.0, request).await?;
    Ok(HttpResponse::Created().json(convert::build(&project, &build)))
}

/// `GET /builds/{uuid}`, `GET /builds/{owner}/{name}@{sha}`: a build; for a commit, its newest one.
///
/// 200; 401; 404.
pub(super) async fn get_build(farm: Data<Farm>, caller: Caller, http: HttpRequest) -> Answer {
    let identity = identity(&http)?;
    let (project, build) = farm.find_build(&caller.0, &identity).await?;
    Ok(HttpResponse::Ok().json(convert::build(&project, &build)))
}

/// `GET /artifacts/{uuid}`, `GET /artifacts/{owner}/{name}@{sha}`: an image, by its own id, by the
/// id of its build, or by its commit (the newest image of that commit).
///
/// 200; 401; 404, also until the image exists.
pub(super) async fn get_artifact(farm: Data<Farm>, caller: Caller, http: HttpRequest) -> Answer {
    let identity = identity(&http)?;
    let image = farm.find_image(&caller.0, &identity).await?;
    Ok(HttpResponse::Ok().json(convert::artifact(&image)))
}
