//! Who calls, with what parameters, on which project.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use slipway_domain::{AccessToken, Name, ProjectId, Role};
use slipway_farm::{Actor, Farm, FarmError, ProjectAccess, ProjectKey};
use slipway_http::{app_state, bearer, header};

use super::error::V3Error;
use super::params::Params;
use crate::address::base;

/// A request whose sender the farm knows. Nothing else is looked at before that.
pub(crate) struct Call {
    /// Who calls.
    pub(crate) actor: Actor,
    /// With what parameters.
    pub(crate) params: Params,
    /// The request itself.
    pub(crate) http: HttpRequest,
    farm: Farm,
}

impl Call {
    /// Lets the caller act on the project that a path names by number or by `namespace/name`.
    ///
    /// # Errors
    /// As [`Farm::project`].
    pub(crate) async fn project(&self, id: &str, need: Role) -> Result<ProjectAccess, V3Error> {
        Ok(match project_key(id)? {
            ProjectKey::Id(id) => self.farm.project_by_id(&self.actor, id, need).await?,
            ProjectKey::Path(namespace, name) => {
                let access = self.farm.project(&self.actor, &namespace, &name, need);
                access.await?
            }
        })
    }

    /// Where the farm is, as the caller sees it: `scheme://host`.
    pub(crate) fn base(&self) -> String {
        base(&self.farm, &self.http)
    }

    /// [`Call::project`], for what is done with its builds.
    ///
    /// # Errors
    /// As [`Farm::project`]; `Forbidden` when builds are switched off.
    pub(crate) async fn builds(&self, id: &str, need: Role) -> Result<ProjectAccess, V3Error> {
        let access = self.project(id, Role::Guest).await?;
        access.require_builds(need)?;
        Ok(access)
    }
}

impl FromRequest for Call {
    type Error = V3Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, V3Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let farm: Farm = app_state(&request);
            let params = Params::read(&request, payload).await?;
            let (token, kind) = token(&request, &params).ok_or(FarmError::BadToken)?;
            let actor = farm.authenticate(&AccessToken::presented(token)).await;
            let actor = actor.map_err(|error| match (error, kind) {
                (FarmError::EndedToken, Kind::OAuth) => V3Error::EndedBearer,
                (error, _) => V3Error::Farm(error),
            })?;
            Ok(Self {
                actor,
                params,
                http: request,
                farm,
            })
        })
    }
}

/// A request whose sender the farm does not know: it has its own proof among its parameters.
pub(crate) struct OpenCall {
    /// With what parameters.
    pub(crate) params: Params,
    /// Where the farm is, as the caller sees it.
    pub(crate) base: String,
}

impl FromRequest for OpenCall {
    type Error = V3Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, V3Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let params = Params::read(&request, payload).await?;
            let base = base(&app_state(&request), &request);
            Ok(Self { params, base })
        })
    }
}

/// What a path names a project by: its number, or `namespace/name`.
///
/// # Errors
/// `NotFound` when no project could be named so.
pub(crate) fn project_key(id: &str) -> Result<ProjectKey, V3Error> {
    let missing = || V3Error::Farm(FarmError::NotFound("project"));
    if id.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(ProjectKey::Id(ProjectId(
            id.parse().map_err(|_| missing())?,
        )));
    }
    let (namespace, name) = id.split_once('/').ok_or_else(missing)?;
    let namespace: Name = namespace.parse().map_err(|_| missing())?;
    let name: Name = name.parse().map_err(|_| missing())?;
    Ok(ProjectKey::Path(namespace, name))
}

/// What a token was presented as. It is the same token either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Private,
    OAuth,
}

/// The token of a request: the first that is found, in GitLab's order, decides.
fn token(request: &HttpRequest, params: &Params) -> Option<(String, Kind)> {
    let bearer = || bearer(request.headers()).map(str::trim);
    let private = params.given("private_token");
    let private = private.or_else(|| header(request, "PRIVATE-TOKEN"));
    let oauth = || bearer().or_else(|| params.given("access_token"));
    match private {
        Some(token) => Some((token.to_owned(), Kind::Private)),
        None => Some((oauth()?.to_owned(), Kind::OAuth)),
    }
}
