//! The session of a build, in which BuildKit requests what it needs from its client.
//!
//! The session has a connection of its own, on which the engine is the gRPC client: it requests
//! files, logins and values of secrets, and talks to the SSH agent. Nothing of that is written to
//! disk here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use bollard::errors::Error;
use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
    VerifyTokenAuthorityResponse,
};
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::{Ssh, SshServer};
use bollard_buildkit_proto::moby::sshforward::v1::{
    BytesMessage, CheckAgentRequest, CheckAgentResponse,
};
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::server::conn::http2;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio_util::io::ReaderStream;
use tonic::service::Routes;
use tonic::{Response, Status, Streaming};

use crate::buildkit::file_sync::Files;
use crate::engine::build_call::{Body, check_status};
use crate::engine::credentials::is_hub;
use crate::engine::endpoint::{Endpoint, Stream as Connection};
use crate::request::Login;

/// The methods that the engine may call, under the names that it looks for.
const METHODS: &[&str] = &[
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/FetchToken",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
];
/// The flow control window of the connection, in bytes.
///
/// The server closes a connection on which more small messages wait than fit the window, as if it
/// were attacked. BuildKit requests each file of a large context with a small message, faster than
/// a busy host sends the files, and the build would fail.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// The id of the agent for a step that names none.
const DEFAULT_AGENT: &str = "default";

/// What one build can request.
#[derive(Clone)]
pub(crate) struct Session {
    /// Logins for the registries of base images.
    pub(crate) logins: Vec<Login>,
    /// The values of the secrets, by their ids.
    pub(crate) secrets: BTreeMap<String, String>,
    /// The socket of the SSH agent.
    pub(crate) agent: Option<PathBuf>,
    /// The build context.
    pub(crate) files: Files,
}

impl Session {
    /// Opens the session with this `id`. The returned future serves it and never completes;
    /// dropping it closes the session.
    ///
    /// `POST /session` is deprecated from version 1.53 of the engine's API on. It still works, and
    /// its replacement is the API of BuildKit itself.
    pub(crate) async fn open(
        self,
        endpoint: &Endpoint,
        api_version: &str,
        id: &str,
    ) -> Result<BoxFuture<'static, Infallible>, Error> {
        let mut request = Request::post(format!("/v{api_version}/session"))
            .header("host", "docker")
            .header("connection", "Upgrade")
            .header("upgrade", "h2c")
            .header("x-docker-expose-session-uuid", id)
            // BuildKit reuses files that an earlier build with the same key sent if their size and
            // time match. With a source date, different files may have the same time, so each
            // build has a key of its own.
            .header("x-docker-expose-session-sharedkey", id);
        for method in METHODS {
            request = request.header("x-docker-expose-session-grpc-method", *method);
        }
        let body = Empty::new().map_err(|never| match never {});
        let request = request.body(body.boxed_unsync())?;
        let opening: BoxFuture<'_, _> = Box::pin(upgrade(endpoint.connect().await?, request));
        let upgraded = opening.await?;
        let routes = Routes::new(HealthServer::new(self.clone()))
            .add_service(AuthServer::new(self.clone()))
            .add_service(FileSyncServer::new(self.files.clone()))
            .add_service(SecretsServer::new(self.clone()))
            .add_service(SshServer::new(self))
            .prepare();
        let service = TowerToHyperService::new(routes);
        let serving = http2::Builder::new(TokioExecutor::new())
            .initial_connection_window_size(CONNECTION_WINDOW)
            .serve_connection(upgraded, service);
        Ok(Box::pin(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, "The connection of a BuildKit session broke");
            }
            // The build request reports what the engine could not get.
            std::future::pending().await
        }))
    }
}

/// Upgrades an HTTP connection to one on which the engine is the client.
async fn upgrade(stream: Box<dyn Connection>, request: Request<Body>) -> Result<Upgraded, Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let response = check_status(sender.send_request(request).await?).await?;
        Ok::<_, Error>(hyper::upgrade::on(response).await?)
    };
    // Boxed with explicit types: the compiler cannot prove otherwise that the futures are `Send`.
    let answer: BoxFuture<'static, Result<Upgraded, Error>> = Box::pin(answer);
    let moving: BoxFuture<'static, _> = Box::pin(connection.with_upgrades());
    let (upgraded, moved) = tokio::join!(answer, moving);
    let upgraded = upgraded?;
    moved?;
    Ok(upgraded)
}

fn unimplemented<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented(
        "this session does not offer this method",
    ))
}

#[tonic::async_trait]
impl Health for Session {
    async fn check(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse {
            status: ServingStatus::Serving.into(),
        }))
    }

    async fn list(
        &self,
        _: tonic::Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        unimplemented()
    }

    type WatchStream = stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        unimplemented()
    }
}

/// Passes logins to the engine, which fetches tokens with them itself.
#[tonic::async_trait]
impl Auth for Session {
    async fn credentials(
        &self,
        request: tonic::Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let matches =
            |login: &&Login| login.registry == host || (is_hub(&login.registry) && is_hub(&host));
        // The last of two logins for a registry is used. Empty credentials mean anonymous access.
        let login = self.logins.iter().rfind(matches);
        Ok(Response::new(CredentialsResponse {
            username: login.map_or_else(String::new, |login| login.username.clone()),
            secret: login.map_or_else(String::new, |login| login.password.clone()),
        }))
    }

    async fn fetch_token(
        &self,
        _: tonic::Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        unimplemented()
    }

    async fn get_token_authority(
        &self,
        _: tonic::Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        unimplemented()
    }

    async fn verify_token_authority(
        &self,
        _: tonic::Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        unimplemented()
    }
}

#[tonic::async_trait]
impl Secrets for Session {
    async fn get_secret(
        &self,
        request: tonic::Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        match self.secrets.get(&id) {
            Some(value) => Ok(Response::new(GetSecretResponse {
                data: value.clone().into_bytes(),
            })),
            // The wording of the `docker` command; `failures` recognizes it in the build's error.
            None => Err(Status::not_found(format!("secret {id} not found"))),
        }
    }
}

impl Session {
    fn agent(&self, id: &str) -> Result<&PathBuf, Status> {
        let agent = self.agent.as_ref();
        agent
            .filter(|_| id.is_empty() || id == DEFAULT_AGENT)
            .ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }
}

#[tonic::async_trait]
impl Ssh for Session {
    async fn check_agent(
        &self,
        request: tonic::Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.agent(&request.into_inner().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn forward_agent(
        &self,
        request: tonic::Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get("buildkit.ssh.id");
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let socket = UnixStream::connect(self.agent(id)?).await?;
        let (from_agent, mut to_agent) = socket.into_split();
        let mut from_step = request.into_inner();
        let forward = async move {
            while let Some(message) = from_step.message().await? {
                to_agent.write_all(&message.data).await?;
            }
            Ok::<_, Status>(to_agent.shutdown().await?)
        };
        // Merged with the answers, so that both directions make progress while they are read.
        let forward = stream::once(forward).filter_map(async |result| result.err().map(Err));
        let answers = ReaderStream::new(from_agent).map(|chunk: io::Result<_>| {
            let data = chunk?.to_vec();
            Ok(BytesMessage { data })
        });
        Ok(Response::new(Box::pin(stream::select(
            answers,
            Box::pin(forward),
        ))))
    }
}
