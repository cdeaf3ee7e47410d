//! Authentication, and lookups of what a path names, in the order in which clients expect errors:
//! format, token, organization, pipeline, build.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest};
use serde::Serialize;
use serde_json::{Value, json};
use slipway_domain::{AccessToken, Name, Role};
use slipway_farm::{Actor, Build, Farm, FarmError, NamespaceAccess, Pipeline, ProjectAccess};
use slipway_http::{app_data, app_state, base_url, header};
use uuid::Uuid;

use crate::Settings;
use crate::error::HarmontError;
use crate::middleware::accepts_json;

/// The prefix of tokens that are created through this API. The rest is a token of the farm.
pub(crate) const TOKEN_PREFIX: &str = "hm_";

/// The generation of the API that a client speaks. Routes and bodies differ a little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Below `/api/v0`.
    V0,
    /// Below `/api/v1`: objects have ids, and more lists have pages.
    V1,
}

/// The path below which the first generation is served.
pub(crate) const V0: &str = "/api/v0";
/// The path below which the second generation is served.
pub(crate) const V1: &str = "/api/v1";

/// A request that needs no token. Its caller accepts JSON.
pub(crate) struct PublicCall {
    pub(crate) farm: Farm,
    pub(crate) http: HttpRequest,
}

/// A request with a valid token.
pub(crate) struct Call {
    pub(crate) actor: Actor,
    pub(crate) farm: Farm,
    pub(crate) http: HttpRequest,
}

impl Call {
    /// The settings of this API.
    pub(crate) fn settings(&self) -> &Settings {
        app_data(&self.http)
    }

    /// The generation that the caller speaks.
    pub(crate) fn generation(&self) -> Generation {
        if self.http.path().starts_with(V1) {
            Generation::V1
        } else {
            Generation::V0
        }
    }

    /// An object as the caller's generation shows it: the second one adds an id.
    pub(crate) fn with_id(&self, object: impl Serialize, id: Uuid) -> Value {
        let mut object = json!(object);
        if self.generation() == Generation::V1 {
            object["id"] = id.to_string().into();
        }
        object
    }

    pub(crate) fn segment(&self, name: &str) -> &str {
        self.http.match_info().get(name).unwrap_or_default()
    }

    /// The organization that the path names.
    ///
    /// # Errors
    /// 404 if it does not exist, or the caller is not a member of it.
    pub(crate) async fn organization(&self) -> Result<NamespaceAccess, HarmontError> {
        let name: Result<Name, _> = self.segment("org").parse();
        let name = name.map_err(|_| HarmontError::NoOrganization)?;
        let access = self.farm.namespace(&self.actor, &name, Role::Reader).await;
        access.map_err(|error| match error {
            // A forbidden organization must look like a missing one.
            FarmError::NotFound(_) | FarmError::Forbidden(_) => HarmontError::NoOrganization,
            error => error.into(),
        })
    }

    /// The pipeline that the path names.
    ///
    /// # Errors
    /// 404 as for [`Call::organization`], or if the pipeline does not exist.
    pub(crate) async fn pipeline(&self) -> Result<(ProjectAccess, Pipeline), HarmontError> {
        let organization = self.organization().await?;
        let slug = self.segment("pipeline");
        let found = self
            .farm
            .namespace_pipeline(&self.actor, &organization, slug);
        found.await.map_err(no_pipeline)
    }

    /// The build that the path names.
    ///
    /// # Errors
    /// 404 as for [`Call::pipeline`], or if the build does not exist.
    pub(crate) async fn build(&self) -> Result<FoundBuild, HarmontError> {
        let (access, pipeline) = self.pipeline().await?;
        // A number that is not one names no build: 404, not 400.
        let number = self.segment("number").parse();
        let number: i64 = number.map_err(|_| HarmontError::NoBuild)?;
        let build = self.farm.numbered_build(&access, &pipeline, number).await;
        let build = build.map_err(|error| match error {
            FarmError::NotFound(_) => HarmontError::NoBuild,
            error => error.into(),
        })?;
        Ok(FoundBuild {
            access,
            pipeline,
            build,
        })
    }

    /// The URL of a path, as the caller's runners reach it.
    ///
    /// Other than [`base_url`], it drops the port if a proxy names its scheme: the port in `Host`
    /// may be the one behind the proxy.
    pub(crate) fn url(&self, path: &str) -> String {
        if let Some(url) = &self.farm.settings().public_url {
            return format!("{}{path}", base_url(&self.http, Some(url)));
        }
        let connection = self.http.connection_info();
        let host = connection.host();
        // Each proxy adds its scheme to the list; the first is the one that the caller used.
        let scheme = header(&self.http, "x-forwarded-proto")
            .and_then(|value| value.split(',').next())
            .map(str::trim);
        match scheme {
            Some(scheme) if ["http", "https"].contains(&scheme) => {
                format!("{scheme}://{}{path}", without_port(host))
            }
            _ => format!("http://{host}{path}"),
        }
    }
}

/// A build with its project and its pipeline.
pub(crate) struct FoundBuild {
    pub(crate) access: ProjectAccess,
    pub(crate) pipeline: Pipeline,
    pub(crate) build: Build,
}

/// Maps a missing pipeline to this API's error.
pub(crate) fn no_pipeline(error: FarmError) -> HarmontError {
    match error {
        FarmError::NotFound(_) => HarmontError::NoPipeline,
        error => error.into(),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

impl FromRequest for PublicCall {
    type Error = HarmontError;
    type Future = std::future::Ready<Result<Self, HarmontError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(if accepts_json(request.headers()) {
            Ok(Self {
                farm: app_state(request),
                http: request.clone(),
            })
        } else {
            Err(HarmontError::NotAcceptable)
        })
    }
}

impl FromRequest for Call {
    type Error = HarmontError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, HarmontError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let public = PublicCall::from_request(request, payload).into_inner();
        Box::pin(async move {
            // The `Accept` header is checked before the token, as in the hosted service.
            let PublicCall { farm, http } = public?;
            let token = bearer(http.headers()).ok_or(FarmError::BadToken)?;
            // Tokens of the farm itself work too, and have no prefix.
            let token = token.strip_prefix(TOKEN_PREFIX).unwrap_or(token);
            let actor = farm.authenticate(&AccessToken::presented(token)).await?;
            Ok(Self { actor, farm, http })
        })
    }
}

/// The bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    slipway_http::bearer(headers).filter(|token| !token.is_empty())
}
