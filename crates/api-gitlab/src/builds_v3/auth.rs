//! Authentication of callers, and their access to projects.

use std::future::{Future, Ready, ready};
use std::net::IpAddr;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use slipway_domain::{AccessToken, Name, ProjectId, Role};
use slipway_farm::{Actor, Farm, FarmError, ProjectAccess, ProjectKey};
use slipway_http::{
    KnownSender, UNKNOWN_SENDER_BYTES, UnreadBody, app_state, bearer, client_address, header,
};

use super::error::V3Error;
use super::params::Params;
use crate::base_url::base_url;

/// The largest body of a known sender, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// An authenticated request. Handlers take it as an argument, so that authentication comes before
/// every other check.
pub(crate) struct Call {
    pub(crate) actor: Actor,
    pub(crate) params: Params,
    pub(crate) http: HttpRequest,
    farm: Farm,
}

impl Call {
    /// Access to the project in a path, given by its id or as `namespace/name`, for a caller with
    /// the role `need`.
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

    /// The URL under which the caller reaches the farm.
    pub(crate) fn base_url(&self) -> String {
        base_url(&self.farm, &self.http)
    }

    /// Access to a project and its builds, for a caller with the role `need`.
    ///
    /// # Errors
    /// As [`Farm::project`]; `Forbidden` if builds are disabled for the project.
    pub(crate) async fn builds(&self, id: &str, need: Role) -> Result<ProjectAccess, V3Error> {
        // Even guests may read builds if the project makes them public, so that the required role
        // is checked by `require_builds`.
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
        let Ok(body) = UnreadBody::from_request(&request, payload).into_inner();
        Box::pin(async move {
            let farm: Farm = app_state(&request);
            // A token outside of the body is checked before the body is read.
            let outside = token(&request, &Params::of_query(&request));
            let (mut actor, body) = match &outside {
                Some(token) => {
                    let actor = authenticated(&farm, token).await?;
                    let body = body.read(&actor, MAX_BODY_BYTES).await?;
                    (Some(actor), body)
                }
                None => (None, body.read_unknown(UNKNOWN_SENDER_BYTES).await?),
            };
            let params = Params::read(&request, body).await?;
            // A token in the body takes precedence.
            let used = token(&request, &params).ok_or(FarmError::BadToken)?;
            if outside.as_ref() != Some(&used) {
                actor = Some(authenticated(&farm, &used).await?);
            }
            let actor = actor.ok_or(FarmError::BadToken)?;
            Ok(Self {
                actor,
                params,
                http: request,
                farm,
            })
        })
    }
}

/// A request that has its credentials among its parameters: a trigger's token, or a user's
/// password.
pub(crate) struct OpenCall {
    pub(crate) base_url: String,
    /// The parameters in the query, which are checked before the body is read.
    pub(crate) query: Params,
    http: HttpRequest,
    body: UnreadBody,
}

impl OpenCall {
    /// The address of the client.
    pub(crate) fn address(&self) -> IpAddr {
        client_address(&self.http)
    }

    /// All parameters. The body of an unknown sender may have `limit` bytes.
    ///
    /// # Errors
    /// Those of reading a body and its parameters.
    pub(crate) async fn params(self, limit: usize) -> Result<Params, V3Error> {
        Params::read(&self.http, self.body.read_unknown(limit).await?).await
    }

    /// All parameters of a known sender.
    ///
    /// # Errors
    /// Those of reading a body and its parameters.
    pub(crate) async fn params_of(self, sender: &impl KnownSender) -> Result<Params, V3Error> {
        Params::read(&self.http, self.body.read(sender, MAX_BODY_BYTES).await?).await
    }
}

impl FromRequest for OpenCall {
    type Error = V3Error;
    type Future = Ready<Result<Self, V3Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let Ok(body) = UnreadBody::from_request(request, payload).into_inner();
        ready(Ok(Self {
            base_url: base_url(&app_state(request), request),
            query: Params::of_query(request),
            http: request.clone(),
            body,
        }))
    }
}

/// The caller with this token.
async fn authenticated(farm: &Farm, (token, kind): &(String, TokenKind)) -> Result<Actor, V3Error> {
    let actor = farm
        .authenticate(&AccessToken::presented(token.clone()))
        .await;
    actor.map_err(|error| match (error, kind) {
        (FarmError::EndedToken, TokenKind::OAuth) => V3Error::ExpiredOAuthToken,
        (error, _) => V3Error::Farm(error),
    })
}

/// The project in a path: its id, or `namespace/name`.
///
/// # Errors
/// `NotFound` if no project can have this id or name.
pub(crate) fn project_key(id: &str) -> Result<ProjectKey, V3Error> {
    let missing = || V3Error::Farm(FarmError::NotFound("project"));
    // GitLab reads a value of digits only as an id, never as a name.
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

/// How a token was sent. The farm accepts the same tokens either way; only the errors differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenKind {
    Private,
    OAuth,
}

/// The token of a request. GitLab uses the first one it finds, in this order, even if it is
/// invalid.
fn token(request: &HttpRequest, params: &Params) -> Option<(String, TokenKind)> {
    let bearer = || bearer(request.headers()).map(str::trim);
    // If both are sent, the parameter counts and not the header.
    let private = params.non_empty("private_token");
    let private = private.or_else(|| header(request, "PRIVATE-TOKEN"));
    let oauth = || bearer().or_else(|| params.non_empty("access_token"));
    match private {
        Some(token) => Some((token.to_owned(), TokenKind::Private)),
        None => Some((oauth()?.to_owned(), TokenKind::OAuth)),
    }
}
