//! The reply "no build", which depends on the client's `User-Agent`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::USER_AGENT;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use slipway_protocol::LAST_UPDATE_HEADER;

use crate::error::message;

/// What kind of client sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserAgent {
    /// A released stock runner, which expects 204 if there is no build.
    Released,
    /// Any other client, including development builds of stock runners. They expect 404.
    Other,
}

impl UserAgent {
    fn parse(user_agent: &str) -> Self {
        let version = user_agent
            .strip_prefix("gitlab-ci-multi-runner ")
            .and_then(|rest| rest.split_once(' '))
            .map(|(version, _)| version);
        match version {
            // Development builds announce `dev` instead of a version.
            Some(version) if is_release(version) => UserAgent::Released,
            _ => UserAgent::Other,
        }
    }

    /// The reply "no build". The runner sends `value` back with its next poll, which is then held
    /// until the value changes.
    pub(crate) fn no_build_response(self, value: &str) -> HttpResponse {
        match self {
            UserAgent::Released => HttpResponse::NoContent()
                .insert_header((LAST_UPDATE_HEADER, value))
                .finish(),
            // Runners before 1.0 log a warning at every 204.
            UserAgent::Other => HttpResponse::NotFound()
                .insert_header((LAST_UPDATE_HEADER, value))
                .json(message("404 Not Found")),
        }
    }
}

/// Whether `version` is `X.Y.Z`, or `X.Y.Z~beta.N.gHEX`.
fn is_release(version: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (numbers, beta) = match version.split_once("~beta.") {
        Some((numbers, beta)) => (numbers, Some(beta)),
        None => (version, None),
    };
    let is_valid_beta = beta.is_none_or(|beta| match beta.split_once(".g") {
        Some((number, hex)) => {
            digits(number) && !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit())
        }
        None => false,
    });
    is_valid_beta && numbers.split('.').count() == 3 && numbers.split('.').all(digits)
}

impl FromRequest for UserAgent {
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let header = request
            .headers()
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok());
        ready(Ok(UserAgent::parse(header.unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_released_stock_runners_get_204_without_a_build() {
        for released in [
            "gitlab-ci-multi-runner 1.9.2 (1-9-stable; go1.7.4; linux/amd64)",
            "gitlab-ci-multi-runner 1.6.0~beta.167.g2b2bacc (x; y; z)",
        ] {
            assert_eq!(
                UserAgent::parse(released),
                UserAgent::Released,
                "{released}"
            );
        }
        for other in [
            "",
            "Go-http-client/1.1",
            "gitlab-ci-multi-runner dev (HEAD; go1.7; linux/amd64)",
            "gitlab-ci-multi-runner 1.9 (x)",
            "gitlab-ci-multi-runner 1.9.2",
            "gitlab-ci-multi-runner 1.9.2~beta.x (x)",
            "slipway-runner 0.1.0 (x)",
        ] {
            assert_eq!(UserAgent::parse(other), UserAgent::Other, "{other}");
        }
    }
}
