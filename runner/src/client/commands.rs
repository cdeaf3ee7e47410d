//! Calls that an operator's command makes once, and that are not tried again.

use reqwest::{Method, StatusCode};
use slipway_domain::{RegistrationToken, RunnerToken};
use slipway_protocol::{RegisterRequest, RegisteredRunner, TokenRequest};

use super::Coordinator;

/// Why registration or another command was refused.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The address is not one of a coordinator.
    #[error("{0} is not the address of a coordinator; expected http:// or https://")]
    BadUrl(String),
    /// The token is not known there.
    #[error("the coordinator refused the token")]
    Forbidden,
    /// It answered something else.
    #[error("the coordinator answered {status}")]
    Refused {
        /// The status.
        status: StatusCode,
    },
    /// It could not be reached.
    #[error("the coordinator could not be reached")]
    Unreachable(#[source] reqwest::Error),
}

impl Coordinator {
    /// `POST runners/register`: makes a runner of this program.
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

    /// `PUT builds/-1`: whether the coordinator knows this runner. 404 is its yes.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn verify(&self, token: &RunnerToken) -> Result<(), CommandError> {
        match self.send_token(Method::PUT, "builds/-1", token).await? {
            StatusCode::NOT_FOUND => Ok(()),
            status => Err(refused(status)),
        }
    }

    /// `DELETE runners/delete`: this runner leaves.
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
