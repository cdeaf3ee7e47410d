//! What goes wrong, in the words that clients of this API tell apart.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::json;
use slipway_farm::FarmError;
use slipway_http::BodyError;

/// What a handler answers.
pub(crate) type Answer = Result<HttpResponse, Problem>;

/// An error of this API. It does not know the request's id: [`crate::frame`] writes the body.
#[derive(Debug)]
pub(crate) enum Problem {
    /// What the farm says.
    Farm(FarmError),
    /// What the farm says to those who want to follow a log.
    Log(FarmError),
    /// The pipeline takes no builds that people ask for.
    ManualDisabled,
    /// No such organization, or none that the caller may know of.
    NoOrganization,
    /// No such pipeline.
    NoPipeline,
    /// No such build.
    NoBuild,
    /// No such job.
    NoJob,
    /// No such source archive.
    NoSource,
    /// No such token of the caller's.
    NoToken,
    /// A field of a build is not as it should be.
    BuildInvalid(String),
    /// The jobs of a build cannot be; the build is there and tells why.
    PlanRejected(String),
    /// The short name of a pipeline is taken.
    SlugTaken,
    /// A field of a pipeline is not as it should be.
    PipelineInvalid(String),
    /// A field of an organization is not as it should be.
    OrganizationInvalid(String),
    /// A field of a token, or of a login, is not as it should be.
    TokenInvalid(String),
    /// A code leads to no login.
    CodeInvalid,
    /// The body is no JSON.
    InvalidJson,
    /// The body is longer than is read.
    TooLarge,
    /// The body is not said to be JSON.
    NotJson,
    /// The caller does not take JSON.
    NotAcceptable,
    /// There is no such path.
    NoRoute,
    /// The path has not this method, but these.
    Method(&'static str),
}

impl From<FarmError> for Problem {
    fn from(error: FarmError) -> Self {
        Problem::Farm(error)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Problem::TooLarge,
            BodyError::Unreadable(_) => Problem::InvalidJson,
        }
    }
}

/// What a client is told of an error, besides its sentence.
struct Told {
    status: u16,
    kind: &'static str,
    code: &'static str,
}

impl Problem {
    fn told(&self) -> Told {
        let (status, kind, code) = match self {
            Self::Farm(error) => of_farm(error),
            Self::Log(error) => of_log(error),
            Self::ManualDisabled => (403, "forbidden", "pipeline_manual_disabled"),
            Self::NoOrganization => (404, "not_found", "organization_not_found"),
            Self::NoPipeline => (404, "not_found", "pipeline_not_found"),
            Self::NoBuild => (404, "not_found", "build_not_found"),
            Self::NoJob => (404, "not_found", "job_not_found"),
            Self::NoSource => (404, "not_found", "source_not_found"),
            Self::NoToken => (404, "not_found", "api_token_not_found"),
            Self::BuildInvalid(_) => (422, "validation_failed", "build_invalid"),
            Self::PlanRejected(_) => (422, "validation_failed", "build_plan_rejected"),
            Self::SlugTaken => (422, "validation_failed", "pipeline_slug_taken"),
            Self::PipelineInvalid(_) => (422, "validation_failed", "pipeline_invalid"),
            Self::OrganizationInvalid(_) => (422, "unprocessable_entity", "organization_invalid"),
            Self::TokenInvalid(_) => (422, "validation_failed", "api_token_invalid"),
            Self::CodeInvalid => (400, "invalid_request", "cli_code_invalid"),
            Self::InvalidJson => (400, "invalid_request", "invalid_json"),
            Self::TooLarge => (413, "invalid_request", "payload_too_large"),
            Self::NotJson => (415, "invalid_request", "unsupported_media_type"),
            Self::NotAcceptable => (406, "invalid_request", "not_acceptable"),
            Self::NoRoute => (404, "not_found", "route_not_found"),
            Self::Method(_) => (405, "invalid_request", "method_not_allowed"),
        };
        Told { status, kind, code }
    }

    /// The whole answer to a request with this id.
    pub(crate) fn answer(&self, request_id: &str, errors_url: &str) -> HttpResponse {
        let told = self.told();
        let mut answer = HttpResponseBuilder::new(self.status_code());
        match self {
            Self::Method(allowed) => {
                answer.insert_header((ALLOW, *allowed));
            }
            Self::Farm(
                FarmError::Unavailable(_) | FarmError::ReadOnly | FarmError::TooManyBuilds,
            )
            | Self::Log(FarmError::Unavailable(_)) => {
                answer.insert_header((RETRY_AFTER, "3"));
            }
            _ => {}
        }
        let mut body = json!({"error": {
            "type": told.kind,
            "code": told.code,
            "message": self.to_string(),
            "doc_url": format!("{errors_url}{}", page_of(told.code)),
            "request_id": request_id,
        }});
        if let Self::Log(_) = self {
            // Who follows a log looks for these outside of the envelope.
            body["code"] = told.code.into();
            body["message"] = self.to_string().into();
        }
        answer.json(body)
    }
}

/// The page on which a code is described: codes of the hosted service's catalogue keep their
/// underscores.
fn page_of(code: &str) -> String {
    match code {
        "pipeline_manual_disabled" | "cli_code_invalid" | "api_token_not_found" => code.to_owned(),
        _ => code.replace('_', "-"),
    }
}

fn of_farm(error: &FarmError) -> (u16, &'static str, &'static str) {
    match error {
        FarmError::BadToken | FarmError::EndedToken => (401, "unauthorized", "unauthorized"),
        FarmError::Forbidden(_) => (403, "forbidden", "forbidden"),
        FarmError::NotFound(_) | FarmError::Erased => (404, "not_found", "not_found"),
        FarmError::Invalid(_) | FarmError::IdleForEver => (422, "validation_failed", "invalid"),
        FarmError::Conflict(_)
        | FarmError::SourcesGone
        | FarmError::Refused(_)
        | FarmError::TraceGap { .. } => (409, "conflict", "conflict"),
        FarmError::TooLarge { .. } => (413, "invalid_request", "payload_too_large"),
        FarmError::TooManyBuilds => (429, "rate_limited", "rate_limited"),
        FarmError::ReadOnly | FarmError::Unavailable(_) => {
            (503, "service_unavailable", "service_unavailable")
        }
        FarmError::Internal(_) => (500, "server_error", "internal_error"),
    }
}

/// Those who follow a log have a token and know no more: whatever it does not open is forbidden.
fn of_log(error: &FarmError) -> (u16, &'static str, &'static str) {
    match error {
        FarmError::BadToken | FarmError::EndedToken => {
            (401, "unauthorized", "log_stream_unauthorized")
        }
        FarmError::Unavailable(_) | FarmError::Internal(_) => of_farm(error),
        FarmError::Forbidden(_)
        | FarmError::NotFound(_)
        | FarmError::Invalid(_)
        | FarmError::IdleForEver
        | FarmError::Conflict(_)
        | FarmError::SourcesGone
        | FarmError::Refused(_)
        | FarmError::TooManyBuilds
        | FarmError::ReadOnly
        | FarmError::Erased
        | FarmError::TraceGap { .. }
        | FarmError::TooLarge { .. } => (403, "forbidden", "log_stream_forbidden"),
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Log(_) if self.status_code() == StatusCode::FORBIDDEN => {
                "the token is for another build, or there is no such job"
            }
            Self::Farm(error) | Self::Log(error) => return error.fmt(f),
            Self::BuildInvalid(why)
            | Self::PlanRejected(why)
            | Self::PipelineInvalid(why)
            | Self::OrganizationInvalid(why)
            | Self::TokenInvalid(why) => why,
            Self::ManualDisabled => "the pipeline takes no builds that people ask for",
            Self::NoOrganization => "no such organization",
            Self::NoPipeline => "no such pipeline",
            Self::NoBuild => "no such build",
            Self::NoJob => "no such job",
            Self::NoSource => "no such source archive",
            Self::NoToken => "no such token",
            Self::SlugTaken => "a pipeline or a project of this name is there already",
            Self::CodeInvalid => "the code is unknown, was used, or its time is over",
            Self::InvalidJson => "the body is not JSON",
            Self::TooLarge => "the body is longer than is read",
            Self::NotJson => "the body must be JSON, with the Content-Type application/json",
            Self::NotAcceptable => "answers are JSON, which the Accept header leaves out",
            Self::NoRoute => "no such path",
            Self::Method(_) => "the path has not this method",
        })
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.told().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Farm(error) | Self::Log(error) = self {
            error.log();
        }
        HttpResponse::new(self.status_code())
    }
}
