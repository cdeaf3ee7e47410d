//! Authentication and authorization: who calls, and what they may do in a repository.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest};
use slipway_domain::{AccessToken, BuildUuid, Name, Role};
use slipway_farm::{Actor, Farm, FarmError, ProjectAccess};
use slipway_http::{app_data, app_state, authorization, basic_login};

use crate::Settings;
use crate::base_url::farm_base_url;
use crate::error::QuayError;

/// The user name of a `Basic` login whose password is a token.
const TOKEN_USER: &str = "$oauthtoken";

/// A request and its caller. An invalid token counts as no token, because public repositories are
/// served to everybody.
pub(crate) struct Call {
    actor: Option<Actor>,
    pub(crate) farm: Farm,
    pub(crate) http: HttpRequest,
    base: String,
}

/// A permission in a repository, by this API's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// List and read builds.
    Read,
    /// Read logs of builds.
    Logs,
    /// Create builds.
    Write,
    /// Cancel builds.
    Admin,
}

impl Permission {
    /// The role that has this permission.
    fn role(self, settings: &Settings) -> Role {
        match self {
            Permission::Read => Role::Reader,
            Permission::Logs if settings.reader_build_logs => Role::Reader,
            Permission::Logs => Role::Developer,
            Permission::Write => Role::Developer,
            Permission::Admin => Role::Maintainer,
        }
    }

    /// Checks that the caller has this permission.
    ///
    /// # Errors
    /// As [`ProjectAccess::require_builds`].
    pub(crate) fn check(
        self,
        settings: &Settings,
        access: &ProjectAccess,
    ) -> Result<(), FarmError> {
        let role = self.role(settings);
        match self {
            // The role for logs is configured; builds that the role may read need no more than
            // a reader.
            Permission::Logs => {
                access.require(role)?;
                access.require_builds(Role::Reader)
            }
            Permission::Read | Permission::Write | Permission::Admin => access.require_builds(role),
        }
    }
}

/// What a caller finds at a repository's path.
pub(crate) enum Repository {
    Project(Box<ProjectAccess>),
    /// No project, in a namespace in which the caller may know that.
    Missing,
}

impl Repository {
    /// The project.
    ///
    /// # Errors
    /// 404 if it does not exist.
    pub(crate) fn project(self) -> Result<ProjectAccess, QuayError> {
        match self {
            Repository::Project(access) => Ok(*access),
            Repository::Missing => Err(QuayError::not_found()),
        }
    }
}

impl Call {
    /// The address of the farm, as the caller sees it.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The settings of this API.
    pub(crate) fn settings(&self) -> &Settings {
        app_data(&self.http)
    }

    /// The caller.
    ///
    /// # Errors
    /// 401 without a valid token.
    pub(crate) fn actor(&self) -> Result<&Actor, QuayError> {
        self.actor.as_ref().ok_or_else(QuayError::unauthenticated)
    }

    /// Whether the caller presented a valid token.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.actor.is_some()
    }

    /// Checks a permission of the caller in the repository that the path names.
    ///
    /// # Errors
    /// 401 if the request has no valid token and the repository is not public; 403 if the caller
    /// lacks the permission or may not know whether the repository exists; 503 while the repository
    /// is read-only.
    pub(crate) async fn repository(&self, need: Permission) -> Result<Repository, QuayError> {
        let path = self.http.match_info().get("repository").unwrap_or_default();
        let (namespace, name) = path.split_once('/').unwrap_or((path, ""));
        let (namespace, name) = (namespace.parse::<Name>(), name.parse::<Name>());
        // The answer about the permission comes before the one about existence, so that nobody learns
        // which repositories exist.
        let Some(actor) = &self.actor else {
            let public = self.public(namespace.ok(), name.ok(), need).await?;
            return public.ok_or_else(QuayError::unauthenticated);
        };
        let Ok(namespace) = namespace else {
            return Err(QuayError::forbidden());
        };
        let found = match &name {
            Ok(name) => {
                let access = self.farm.project(actor, &namespace, name, Role::Guest);
                let access = access.await;
                access.and_then(|access| need.check(self.settings(), &access).map(|()| access))
            }
            // Quay allows slashes in names; the farm has no such project.
            Err(_) => Err(FarmError::NotFound("project")),
        };
        match found {
            Ok(access) => Ok(Repository::Project(Box::new(access))),
            Err(FarmError::NotFound(_)) => self.missing(actor, namespace, name.ok(), need).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The repository for a caller who is not a member of it: a public one, or none. Only members
    /// of the namespace learn that none exists; for others it looks like a private one.
    async fn missing(
        &self,
        actor: &Actor,
        namespace: Name,
        name: Option<Name>,
        need: Permission,
    ) -> Result<Repository, QuayError> {
        let public = self.public(Some(namespace.clone()), name, need);
        if let Some(public) = public.await? {
            return Ok(public);
        }
        let role = need.role(self.settings());
        match self.farm.absent_project(actor, &namespace, role).await {
            Ok(()) => Ok(Repository::Missing),
            Err(FarmError::NotFound(_)) => Err(QuayError::forbidden()),
            Err(error) => Err(error.into()),
        }
    }

    /// The repository, if everybody has the permission in it.
    async fn public(
        &self,
        namespace: Option<Name>,
        name: Option<Name>,
        need: Permission,
    ) -> Result<Option<Repository>, QuayError> {
        let (Some(namespace), Some(name)) = (namespace, name) else {
            return Ok(None);
        };
        let found = self.farm.public_project(&namespace, &name).await;
        match found.and_then(|access| need.check(self.settings(), &access).map(|()| access)) {
            Ok(access) => Ok(Some(Repository::Project(Box::new(access)))),
            Err(FarmError::NotFound(_) | FarmError::Forbidden(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The build's id as the path has it.
    pub(crate) fn build_text(&self) -> &str {
        self.http.match_info().get("uuid").unwrap_or_default()
    }

    /// The id of the build that the path names, if it is valid.
    pub(crate) fn build_id(&self) -> Option<BuildUuid> {
        let text = self.build_text();
        // Only the canonical form, so that each build has exactly one path.
        let id: BuildUuid = text.parse().ok()?;
        (id.to_string() == text).then_some(id)
    }
}

impl FromRequest for Call {
    type Error = QuayError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, QuayError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let token = bearer_word(request.headers());
        Box::pin(call(request.clone(), token))
    }
}

/// A [`Call`] whose token may also be the password of a `Basic` login.
pub(crate) struct LoginCall(pub(crate) Call);

impl FromRequest for LoginCall {
    type Error = QuayError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, QuayError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let token = bearer_word(headers).or_else(|| token_password(headers));
        let call = call(request.clone(), token);
        Box::pin(async move { call.await.map(Self) })
    }
}

async fn call(request: HttpRequest, token: Option<AccessToken>) -> Result<Call, QuayError> {
    let farm: Farm = app_state(&request);
    let actor = match token {
        None => None,
        Some(token) => match farm.authenticate(&token).await {
            Ok(actor) => Some(actor),
            Err(FarmError::BadToken | FarmError::EndedToken) => None,
            Err(error) => return Err(error.into()),
        },
    };
    Ok(Call {
        actor,
        base: farm_base_url(&request),
        http: request,
        farm,
    })
}

/// The token of a request: exactly one word after `Bearer`, separated by any white space.
fn bearer_word(headers: &HeaderMap) -> Option<AccessToken> {
    let mut words = authorization(headers)?.split_ascii_whitespace();
    let (scheme, token) = (words.next()?, words.next()?);
    let is_alone = words.next().is_none();
    (is_alone && scheme.eq_ignore_ascii_case("bearer")).then(|| AccessToken::presented(token))
}

/// The token that is the password of [`TOKEN_USER`].
fn token_password(headers: &HeaderMap) -> Option<AccessToken> {
    let login = basic_login(headers)?;
    (login.user == TOKEN_USER).then(|| AccessToken::presented(login.password))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{AUTHORIZATION, HeaderValue};

    use super::*;

    #[test]
    fn a_token_is_one_word_after_bearer_or_the_password_of_the_token_user() {
        let tokens = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            let plain = |token: AccessToken| token.expose().to_owned();
            let bearer = bearer_word(&headers).map(plain);
            (bearer, token_password(&headers).map(plain))
        };
        let token = Some("slpat-1".to_owned());
        assert_eq!(tokens("Bearer slpat-1"), (token.clone(), None));
        assert_eq!(tokens("bearer slpat-1"), (token.clone(), None));
        // "$oauthtoken:slpat-1" and "me:slpat-1"
        assert_eq!(tokens("Basic JG9hdXRodG9rZW46c2xwYXQtMQ=="), (None, token));
        for invalid in [
            "Basic bWU6c2xwYXQtMQ==",
            "Bearer a b",
            "Bearer",
            "slpat-1",
            "Basic ?",
        ] {
            assert_eq!(tokens(invalid), (None, None), "{invalid}");
        }
    }
}
