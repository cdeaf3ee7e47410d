//! Errors, with the types and codes that clients of this API distinguish.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::json;
use slipway_farm::FarmError;
use slipway_http::BodyError;

/// Why a request failed. An error does not know the request's id, which its body contains:
/// [`crate::middleware`] writes the body.
#[derive(Debug)]
pub(crate) enum HarmontError {
    Farm(FarmError),
    /// The farm refused to stream a log.
    Log(FarmError),
    /// The pipeline does not allow manual builds.
    ManualDisabled,
    /// The organization does not exist, or the caller may not see it.
    NoOrganization,
    NoPipeline,
    NoBuild,
    NoJob,
    NoSource,
    /// The caller has no such token.
    NoToken,
    /// The organization has no such member.
    NoMember,
    /// A field of a member is invalid.
    MemberInvalid(String),
    /// A field of a new build is invalid.
    BuildInvalid(String),
    /// The graph of a build is invalid. The build exists, failed, and holds the reason.
    PlanRejected(String),
    SlugTaken,
    PipelineInvalid(String),
    OrganizationInvalid(String),
    /// A field of a token, or of a login, is invalid.
    TokenInvalid(String),
    /// A login code is unknown, used or expired.
    CodeInvalid,
    InvalidJson,
    /// The body was not read.
    Body(BodyError),
    /// The `Content-Type` is not JSON.
    NotJson,
    /// The `Accept` header excludes JSON.
    NotAcceptable,
    NoRoute,
    /// The route does not take this method, but these.
    Method(&'static str),
}

impl From<FarmError> for HarmontError {
    fn from(error: FarmError) -> Self {
        HarmontError::Farm(error)
    }
}

impl From<BodyError> for HarmontError {
    fn from(error: BodyError) -> Self {
        HarmontError::Body(error)
    }
}

/// What an error has besides its message.
struct Code {
    status: u16,
    kind: &'static str,
    code: &'static str,
}

impl HarmontError {
    fn code(&self) -> Code {
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
            Self::NoMember => (404, "not_found", "member_not_found"),
            Self::MemberInvalid(_) => (422, "validation_failed", "member_invalid"),
            Self::BuildInvalid(_) => (422, "validation_failed", "build_invalid"),
            Self::PlanRejected(_) => (422, "validation_failed", "build_plan_rejected"),
            Self::SlugTaken => (422, "validation_failed", "pipeline_slug_taken"),
            Self::PipelineInvalid(_) => (422, "validation_failed", "pipeline_invalid"),
            // Not `validation_failed`: the hosted service has this one exception.
            Self::OrganizationInvalid(_) => (422, "unprocessable_entity", "organization_invalid"),
            Self::TokenInvalid(_) => (422, "validation_failed", "api_token_invalid"),
            Self::CodeInvalid => (400, "invalid_request", "cli_code_invalid"),
            Self::InvalidJson => (400, "invalid_request", "invalid_json"),
            Self::Body(error) => of_body(error),
            Self::NotJson => (415, "invalid_request", "unsupported_media_type"),
            Self::NotAcceptable => (406, "invalid_request", "not_acceptable"),
            Self::NoRoute => (404, "not_found", "route_not_found"),
            Self::Method(_) => (405, "invalid_request", "method_not_allowed"),
        };
        Code { status, kind, code }
    }

    /// The whole response to the request with this id.
    pub(crate) fn response(&self, request_id: &str, errors_url: &str) -> HttpResponse {
        let Code { kind, code, .. } = self.code();
        let mut response = HttpResponseBuilder::new(self.status_code());
        match self {
            Self::Method(allowed) => {
                response.insert_header((ALLOW, *allowed));
            }
            Self::Farm(
                FarmError::Unavailable(_)
                | FarmError::SourceUnavailable(_)
                | FarmError::ContentMissing { .. }
                | FarmError::DiskFull
                | FarmError::ReadOnly
                | FarmError::TooManyBuilds
                | FarmError::TooManyAttempts { .. },
            )
            | Self::Log(
                FarmError::Unavailable(_) | FarmError::ContentMissing { .. } | FarmError::DiskFull,
            ) => {
                response.insert_header((RETRY_AFTER, "3"));
            }
            _ => {}
        }
        let mut body = json!({"error": {
            "type": kind,
            "code": code,
            "message": self.to_string(),
            "doc_url": format!("{errors_url}{}", page_of(code)),
            "request_id": request_id,
        }});
        if let Self::Log(_) = self {
            // Clients of the log stream look for these outside of the envelope.
            body["code"] = code.into();
            body["message"] = self.to_string().into();
        }
        response.json(body)
    }
}

/// The page that describes a code. Codes in the catalogue of the hosted service keep their
/// underscores there.
fn page_of(code: &str) -> String {
    match code {
        "pipeline_manual_disabled" | "cli_code_invalid" | "api_token_not_found" => code.to_owned(),
        _ => code.replace('_', "-"),
    }
}

fn of_body(error: &BodyError) -> (u16, &'static str, &'static str) {
    match error {
        BodyError::TooLarge { .. } | BodyError::UnknownSender { .. } => {
            (413, "invalid_request", "payload_too_large")
        }
        BodyError::TooManyValues { .. } | BodyError::Unreadable(_) => {
            (400, "invalid_request", "invalid_json")
        }
        BodyError::TimedOut => (408, "invalid_request", "request_timeout"),
        BodyError::NoMemory => (503, "service_unavailable", "service_unavailable"),
    }
}

fn of_farm(error: &FarmError) -> (u16, &'static str, &'static str) {
    match error {
        // Expired and unknown tokens must be indistinguishable.
        FarmError::BadToken | FarmError::EndedToken => (401, "unauthorized", "unauthorized"),
        FarmError::Forbidden(_) => (403, "forbidden", "forbidden"),
        FarmError::NotFound(_) | FarmError::Erased => (404, "not_found", "not_found"),
        FarmError::Invalid(_) | FarmError::IdleForEver => (422, "validation_failed", "invalid"),
        FarmError::Conflict(_)
        | FarmError::SourcesGone
        | FarmError::Refused(_)
        | FarmError::TraceGap { .. } => (409, "conflict", "conflict"),
        FarmError::TooLarge { .. } | FarmError::StorageFull { .. } => {
            (413, "invalid_request", "payload_too_large")
        }
        FarmError::TooManyBuilds | FarmError::TooManyAttempts { .. } => {
            (429, "rate_limited", "rate_limited")
        }
        FarmError::ReadOnly
        | FarmError::Unavailable(_)
        | FarmError::SourceUnavailable(_)
        | FarmError::ContentMissing { .. }
        | FarmError::DiskFull => (503, "service_unavailable", "service_unavailable"),
        FarmError::Internal(_) => (500, "server_error", "internal_error"),
    }
}

/// For the log stream, everything that a valid token does not permit is forbidden, so that the holder
/// learns nothing about other builds.
fn of_log(error: &FarmError) -> (u16, &'static str, &'static str) {
    match error {
        FarmError::BadToken | FarmError::EndedToken => {
            (401, "unauthorized", "log_stream_unauthorized")
        }
        FarmError::Unavailable(_)
        | FarmError::SourceUnavailable(_)
        | FarmError::ContentMissing { .. }
        | FarmError::DiskFull
        | FarmError::Internal(_) => of_farm(error),
        FarmError::Forbidden(_)
        | FarmError::NotFound(_)
        | FarmError::Invalid(_)
        | FarmError::IdleForEver
        | FarmError::Conflict(_)
        | FarmError::SourcesGone
        | FarmError::Refused(_)
        | FarmError::TooManyBuilds
        | FarmError::TooManyAttempts { .. }
        | FarmError::ReadOnly
        | FarmError::Erased
        | FarmError::TraceGap { .. }
        | FarmError::TooLarge { .. }
        | FarmError::StorageFull { .. } => (403, "forbidden", "log_stream_forbidden"),
    }
}

impl std::fmt::Display for HarmontError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Log(_) if self.status_code() == StatusCode::FORBIDDEN => {
                "the token is for another build, or the job does not exist"
            }
            Self::Farm(error) | Self::Log(error) => return error.fmt(f),
            Self::BuildInvalid(why)
            | Self::PlanRejected(why)
            | Self::PipelineInvalid(why)
            | Self::OrganizationInvalid(why)
            | Self::MemberInvalid(why)
            | Self::TokenInvalid(why) => why,
            Self::ManualDisabled => "the pipeline does not allow manual builds",
            Self::NoOrganization => "the organization does not exist",
            Self::NoPipeline => "the pipeline does not exist",
            Self::NoBuild => "the build does not exist",
            Self::NoJob => "the job does not exist",
            Self::NoSource => "the source archive does not exist",
            Self::NoToken => "the token does not exist",
            Self::NoMember => "the organization has no such member",
            Self::SlugTaken => "a pipeline or a project with this name already exists",
            Self::CodeInvalid => "the code is unknown, used or expired",
            Self::InvalidJson => "the body is not valid JSON",
            Self::Body(BodyError::TooLarge { .. } | BodyError::UnknownSender { .. }) => {
                "the body is too large"
            }
            Self::Body(BodyError::Unreadable(_)) => "the body is not valid JSON",
            Self::Body(error) => return error.fmt(f),
            Self::NotJson => "send the body as JSON, with the Content-Type application/json",
            Self::NotAcceptable => "responses are JSON, which the Accept header excludes",
            Self::NoRoute => "route not found",
            Self::Method(_) => "method not allowed",
        })
    }
}

impl std::error::Error for HarmontError {}

impl ResponseError for HarmontError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Farm(error) | Self::Log(error) = self {
            error.log();
        }
        HttpResponse::new(self.status_code())
    }
}
