//! Requests that are sent once and not retried: those of an operator's commands, and the report of
//! a runner that is not ready.

use reqwest::{Method, StatusCode};
use slipway_domain::{RegistrationToken, RunnerToken};
use slipway_protocol::{Info, RegisterRequest, RegisteredRunner, TokenRequest, UpdateRequest};

use super::CoordinatorClient;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The URL is not an HTTP URL.
    #[error("{0} is not a coordinator URL; expected http:// or https://")]
    BadUrl(String),
    /// The coordinator does not know the token.
    #[error("the coordinator rejected the token")]
    Forbidden,
    /// The coordinator answered with another status.
    #[error("the coordinator answered {status}")]
    Refused { status: StatusCode },
    /// There was no answer, or it could not be read.
    #[error("could not reach the coordinator")]
    Unreachable(#[source] reqwest::Error),
}

impl CoordinatorClient {
    /// `POST runners/register`: registers this host as a runner.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn register(
        &self,
        token: &RegistrationToken,
        mut request: RegisterRequest,
    ) -> Result<RegisteredRunner, CommandError> {
        request.token = Some(token.expose().to_owned());
        let request = self
            .call(Method::POST, "runners/register.json")
            .json(&request);
        let answer = request.send().await.map_err(CommandError::Unreachable)?;
        match answer.status() {
            StatusCode::CREATED => answer.json().await.map_err(CommandError::Unreachable),
            status => Err(refused(status)),
        }
    }

    /// `PUT builds/-1`: checks that the coordinator knows this runner.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn verify(&self, token: &RunnerToken) -> Result<(), CommandError> {
        // There is no job -1. A coordinator that accepts the token answers that it is not found.
        match self.send_token(Method::PUT, "builds/-1", token).await? {
            StatusCode::NOT_FOUND => Ok(()),
            status => Err(refused(status)),
        }
    }

    /// The same request with `info`, which tells the coordinator why this runner is not ready to
    /// claim jobs. A coordinator that does not know the reason ignores it.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn report_unready(
        &self,
        token: &RunnerToken,
        info: Info,
    ) -> Result<(), CommandError> {
        let body = UpdateRequest {
            token: Some(token.expose().to_owned()),
            info: Some(info),
            ..UpdateRequest::default()
        };
        let request = self.call(Method::PUT, "builds/-1").json(&body);
        let answer = request.send().await.map_err(CommandError::Unreachable)?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status => Err(refused(status)),
        }
    }

    /// `DELETE runners/delete`: deletes this runner.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn unregister(&self, token: &RunnerToken) -> Result<(), CommandError> {
        match self
            .send_token(Method::DELETE, "runners/delete", token)
            .await?
        {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            status => Err(refused(status)),
        }
    }

    async fn send_token(
        &self,
        method: Method,
        path: &str,
        token: &RunnerToken,
    ) -> Result<StatusCode, CommandError> {
        let body = TokenRequest {
            token: Some(token.expose().to_owned()),
        };
        let request = self.call(method, path).json(&body);
        let answer = request.send().await.map_err(CommandError::Unreachable)?;
        Ok(answer.status())
    }
}

fn refused(status: StatusCode) -> CommandError {
    match status {
        StatusCode::FORBIDDEN => CommandError::Forbidden,
        status => CommandError::Refused { status },
    }
}
