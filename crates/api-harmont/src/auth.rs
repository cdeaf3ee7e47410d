//! Who calls, and what the path leads to: looked up in the order in which clients are told.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest};
use slipway_domain::{AccessToken, Name, Role};
use slipway_farm::{Actor, Build, Farm, FarmError, NamespaceAccess, Pipeline, ProjectAccess};
use slipway_http::{app_state, base_url, header};

use crate::frame::takes_json;
use crate::problem::Problem;

/// What the tokens begin with that are made through this API; behind it is a token of the farm.
pub(crate) const PREFIX: &str = "hm_";

/// A request whose caller takes JSON.
pub(crate) struct Anybody {
    /// The farm.
    pub(crate) farm: Farm,
    /// The request itself.
    pub(crate) http: HttpRequest,
}

/// A request of somebody who is known.
pub(crate) struct Call {
    /// Who calls.
    pub(crate) actor: Actor,
    /// The farm.
    pub(crate) farm: Farm,
    /// The request itself.
    pub(crate) http: HttpRequest,
}

impl Call {
    fn part(&self, name: &str) -> &str {
        self.http.match_info().get(name).unwrap_or_default()
    }

    /// The organization that the path names.
    ///
    /// # Errors
    /// 404 when it is not there, or the caller is no member of it.
    pub(crate) async fn organization(&self) -> Result<NamespaceAccess, Problem> {
        let name: Result<Name, _> = self.part("org").parse();
        let name = name.map_err(|_| Problem::NoOrganization)?;
        let access = self.farm.namespace(&self.actor, &name, Role::Reader).await;
        access.map_err(|error| match error {
            FarmError::NotFound(_) | FarmError::Forbidden(_) => Problem::NoOrganization,
            error => error.into(),
        })
    }

    /// The pipeline that the path names.
    ///
    /// # Errors
    /// 404 as for [`Call::organization`], or when the pipeline is not there.
    pub(crate) async fn pipeline(&self) -> Result<(ProjectAccess, Pipeline), Problem> {
        let organization = self.organization().await?;
        let slug = self.part("pipeline");
        let found = self
            .farm
            .namespace_pipeline(&self.actor, &organization, slug);
        found.await.map_err(no_pipeline)
    }

    /// The build that the path names.
    ///
    /// # Errors
    /// 404 as for [`Call::pipeline`], or when the build is not there.
    pub(crate) async fn build(&self) -> Result<Place, Problem> {
        let (access, pipeline) = self.pipeline().await?;
        let number: i64 = self.part("number").parse().map_err(|_| Problem::NoBuild)?;
        let build = self.farm.numbered_build(&access, &pipeline, number).await;
        let build = build.map_err(|error| match error {
            FarmError::NotFound(_) => Problem::NoBuild,
            error => error.into(),
        })?;
        Ok(Place {
            access,
            pipeline,
            build,
        })
    }

    /// The address of a path of the farm, as the caller sees it. A proxy in front of the farm tells
    /// what it speaks itself; the port behind it is of no use then.
    pub(crate) fn address(&self, path: &str) -> String {
        if let Some(url) = &self.farm.settings().public_url {
            return format!("{}{path}", base_url(&self.http, Some(url)));
        }
        let connection = self.http.connection_info();
        let host = connection.host();
        match header(&self.http, "x-forwarded-proto")
            .and_then(|value| value.split(',').next())
            .map(str::trim)
        {
            Some(scheme) if ["http", "https"].contains(&scheme) => {
                format!("{scheme}://{}{path}", without_port(host))
            }
            _ => format!("http://{host}{path}"),
        }
    }
}

/// A build, where it was found.
pub(crate) struct Place {
    /// Its project.
    pub(crate) access: ProjectAccess,
    /// Its pipeline.
    pub(crate) pipeline: Pipeline,
    /// The build.
    pub(crate) build: Build,
}

/// What a missing pipeline is called.
pub(crate) fn no_pipeline(error: FarmError) -> Problem {
    match error {
        FarmError::NotFound(_) => Problem::NoPipeline,
        error => error.into(),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

impl FromRequest for Anybody {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(match takes_json(request.headers()) {
            true => Ok(Self {
                farm: app_state(request),
                http: request.clone(),
            }),
            false => Err(Problem::NotAcceptable),
        })
    }
}

impl FromRequest for Call {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let anybody = Anybody::from_request(request, payload).into_inner();
        Box::pin(async move {
            let Anybody { farm, http } = anybody?;
            let token = bearer(http.headers()).ok_or(FarmError::BadToken)?;
            let token = token.strip_prefix(PREFIX).unwrap_or(token);
            let actor = farm.authenticate(&AccessToken::presented(token)).await?;
            Ok(Self { actor, farm, http })
        })
    }
}

/// The token of a request: what stands behind `Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    slipway_http::bearer(headers).filter(|token| !token.is_empty())
}
