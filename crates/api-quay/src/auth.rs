//! Who calls, if anybody is known to, and on which repository.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest};
use slipway_domain::{AccessToken, BuildUuid, Name, Role};
use slipway_farm::{Actor, Farm, FarmError, ProjectAccess};
use slipway_http::{app_state, authorization, basic_login};

use crate::error::QuayError;
use crate::frame::base;

/// The user name with which a token stands in the place of a password.
const TOKEN_USER: &str = "$oauthtoken";

/// A request. A token that does not work is as good as none.
pub(crate) struct Call {
    /// Who calls.
    actor: Option<Actor>,
    /// The farm.
    pub(crate) farm: Farm,
    /// The request itself.
    pub(crate) http: HttpRequest,
    base: String,
}

/// The right that an operation needs in a repository, in the words of this API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Looking.
    Read,
    /// Reading logs.
    Logs,
    /// Building.
    Write,
    /// Calling off.
    Admin,
}

impl Need {
    /// The role that it is in this farm.
    pub(crate) fn role(self, farm: &Farm) -> Role {
        match self {
            Need::Read => Role::Reader,
            Need::Logs => farm.log_role(),
            Need::Write => Role::Developer,
            Need::Admin => Role::Maintainer,
        }
    }

    /// Whether somebody with this access may.
    ///
    /// # Errors
    /// As [`ProjectAccess::require_builds`].
    pub(crate) fn check(self, farm: &Farm, access: &ProjectAccess) -> Result<(), FarmError> {
        let role = self.role(farm);
        match self {
            // Logs are looked at, whoever may.
            Need::Logs => {
                access.require(role)?;
                access.require_builds(Role::Reader)
            }
            Need::Read | Need::Write | Need::Admin => access.require_builds(role),
        }
    }
}

/// A repository that a caller may act on.
pub(crate) enum Place {
    /// It is there.
    Project(Box<ProjectAccess>),
    /// It is not, in a namespace where the caller may know that.
    Nowhere,
}

impl Place {
    /// The project.
    ///
    /// # Errors
    /// 404 when it is not there.
    pub(crate) fn project(self) -> Result<ProjectAccess, QuayError> {
        match self {
            Place::Project(access) => Ok(*access),
            Place::Nowhere => Err(QuayError::not_found()),
        }
    }
}

impl Call {
    /// Where the farm is, as the caller sees it: `scheme://host`.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Who calls.
    ///
    /// # Errors
    /// 401 when nobody is known to.
    pub(crate) fn actor(&self) -> Result<&Actor, QuayError> {
        self.actor.as_ref().ok_or_else(QuayError::nobody)
    }

    /// Whether somebody is known to call.
    pub(crate) fn is_somebody(&self) -> bool {
        self.actor.is_some()
    }

    /// Lets the caller act on the builds of the repository that the path names.
    ///
    /// # Errors
    /// 401 when nobody is known to call and the repository is not everybody's to look at; 403 when
    /// the caller may not, or may not know; 503 when nothing may change there now.
    pub(crate) async fn repository(&self, need: Need) -> Result<Place, QuayError> {
        let role = need.role(&self.farm);
        let path = self.http.match_info().get("repository").unwrap_or_default();
        let (namespace, name) = path.split_once('/').unwrap_or((path, ""));
        let (namespace, name) = (namespace.parse::<Name>(), name.parse::<Name>());
        let Some(actor) = &self.actor else {
            let open = self.open_to_all(namespace.ok(), name.ok(), need).await?;
            return open.ok_or_else(QuayError::nobody);
        };
        let Ok(namespace) = namespace else {
            return Err(QuayError::forbidden());
        };
        let found = match &name {
            Ok(name) => {
                let access = self
                    .farm
                    .project(actor, &namespace, name, Role::Guest)
                    .await;
                access.and_then(|access| need.check(&self.farm, &access).map(|()| access))
            }
            Err(_) => Err(FarmError::NotFound("project")),
        };
        match found {
            Ok(access) => Ok(Place::Project(Box::new(access))),
            Err(FarmError::NotFound(_)) => {
                let open = self.open_to_all(Some(namespace.clone()), name.ok(), need);
                if let Some(open) = open.await? {
                    return Ok(open);
                }
                match self.farm.absent_project(actor, &namespace, role).await {
                    Ok(()) => Ok(Place::Nowhere),
                    Err(FarmError::NotFound(_)) => Err(QuayError::forbidden()),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The repository, if everybody may do that in it.
    async fn open_to_all(
        &self,
        namespace: Option<Name>,
        name: Option<Name>,
        need: Need,
    ) -> Result<Option<Place>, QuayError> {
        let (Some(namespace), Some(name)) = (namespace, name) else {
            return Ok(None);
        };
        let found = self.farm.public_project(&namespace, &name).await;
        match found.and_then(|access| need.check(&self.farm, &access).map(|()| access)) {
            Ok(access) => Ok(Some(Place::Project(Box::new(access)))),
            Err(FarmError::NotFound(_) | FarmError::Forbidden(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The id of the build that the path names, as it stands there.
    pub(crate) fn build_text(&self) -> &str {
        self.http.match_info().get("uuid").unwrap_or_default()
    }

    /// The id of the build that the path names, if it can be one.
    pub(crate) fn build_id(&self) -> Option<BuildUuid> {
        let text = self.build_text();
        // Only the usual form, so that nothing has two names.
        let id: BuildUuid = text.parse().ok()?;
        (id.to_string() == text).then_some(id)
    }
}

impl FromRequest for Call {
    type Error = QuayError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, QuayError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let token = bearer(request.headers());
        called(request.clone(), token)
    }
}

/// A [`Call`] whose token may as well be the password of a login.
pub(crate) struct LoginCall(pub(crate) Call);

impl FromRequest for LoginCall {
    type Error = QuayError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, QuayError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let call = called(
            request.clone(),
            bearer(headers).or_else(|| password(headers)),
        );
        Box::pin(async move { call.await.map(Self) })
    }
}

fn called(
    request: HttpRequest,
    token: Option<AccessToken>,
) -> Pin<Box<dyn Future<Output = Result<Call, QuayError>>>> {
    Box::pin(async move {
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
            base: base(&request),
            http: request,
            farm,
        })
    })
}

/// The token of a request: exactly one word after `Bearer`.
fn bearer(headers: &HeaderMap) -> Option<AccessToken> {
    let mut words = authorization(headers)?.split_ascii_whitespace();
    let (scheme, token) = (words.next()?, words.next()?);
    let alone = words.next().is_none();
    (alone && scheme.eq_ignore_ascii_case("bearer")).then(|| AccessToken::presented(token))
}

/// The token that stands in the place of a password.
fn password(headers: &HeaderMap) -> Option<AccessToken> {
    let login = basic_login(headers)?;
    (login.user == TOKEN_USER).then(|| AccessToken::presented(login.password))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{AUTHORIZATION, HeaderValue};

    use super::*;

    #[test]
    fn a_token_is_one_word_after_bearer_or_a_password_of_its_own_user() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            let plain = |token: AccessToken| token.expose().to_owned();
            (bearer(&headers).map(plain), password(&headers).map(plain))
        };
        let token = Some("slpat-1".to_owned());
        assert_eq!(of("Bearer slpat-1"), (token.clone(), None));
        assert_eq!(of("bearer slpat-1"), (token.clone(), None));
        // "$oauthtoken:slpat-1" and "me:slpat-1"
        assert_eq!(of("Basic JG9hdXRodG9rZW46c2xwYXQtMQ=="), (None, token));
        for none in [
            "Basic bWU6c2xwYXQtMQ==",
            "Bearer a b",
            "Bearer",
            "slpat-1",
            "Basic ?",
        ] {
            assert_eq!(of(none), (None, None), "{none}");
        }
    }
}
