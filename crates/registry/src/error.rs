//! Why a registry did not carry out a request, without any text that it sent: it may be a service
//! inside of the operator's network.

use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};
use reqwest::StatusCode;
use serde_json::Value;
use slipway_domain::Platform;
use slipway_outbound::Session;

/// Why a registry did not carry out a request.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry refused the push, or could not be reached.
    #[error("the registry {registry} refused the push: {detail}")]
    Refused {
        /// The host, with its port if it has one.
        registry: String,
        detail: String,
    },
    /// An image that was pushed to the registry could not be read back.
    #[error("could not read the image {digest} from the registry {registry}: {detail}")]
    Unreadable {
        /// The host, with its port if it has one.
        registry: String,
        digest: String,
        detail: String,
    },
    /// Two images are for the same platform, and an index can list only one.
    #[error("two images are for {0}; each image must be for a different platform")]
    SamePlatform(Platform),
    #[error("could not create the HTTP client for the registry")]
    Setup,
}

/// The error codes of the distribution specification, and what they mean.
const CODES: &[(&str, &str)] = &[
    ("BLOB_UNKNOWN", "a blob is missing"),
    ("BLOB_UPLOAD_INVALID", "the upload of a blob is invalid"),
    ("BLOB_UPLOAD_UNKNOWN", "the upload of a blob is unknown"),
    ("DENIED", "access is denied"),
    ("DIGEST_INVALID", "a digest does not match"),
    (
        "MANIFEST_BLOB_UNKNOWN",
        "the manifest refers to a missing blob",
    ),
    ("MANIFEST_INVALID", "the manifest is invalid"),
    ("MANIFEST_UNKNOWN", "the manifest is missing"),
    ("NAME_INVALID", "the name of the repository is invalid"),
    ("NAME_UNKNOWN", "the repository is missing"),
    ("SIZE_INVALID", "a length does not match"),
    ("TAG_INVALID", "the tag is invalid"),
    ("TOOMANYREQUESTS", "too many requests"),
    ("UNAUTHORIZED", "a login is required"),
    ("UNAVAILABLE", "the service is unavailable"),
    ("UNSUPPORTED", "the operation is not supported"),
];

/// Describes an answer by its status, and by the error code in it if that is a standard one.
pub(crate) fn explain(status: StatusCode, body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = answer["errors"][0]["code"].as_str().unwrap_or_default();
    let known = CODES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(code));
    match known {
        Some((_, meaning)) => format!("{status} ({meaning})"),
        None => status.to_string(),
    }
}

/// Describes a connection that was not made or broke.
pub(crate) fn connection_failure(session: &Session, error: &reqwest::Error) -> String {
    if let Some(failure) = session.failure() {
        return failure.to_string();
    }
    let why = if error.is_timeout() {
        "the registry took too long to answer"
    } else if error.is_connect() {
        "could not connect to the registry"
    } else {
        "the connection to the registry broke"
    };
    why.to_owned()
}

/// Describes an error of the client library.
pub(crate) fn failure(session: &Session, error: &OciDistributionError) -> String {
    let status = |code: u16| StatusCode::from_u16(code).unwrap_or_default();
    match error {
        OciDistributionError::RequestError(error) => connection_failure(session, error),
        OciDistributionError::AuthenticationFailure(_) => "the login was rejected".to_owned(),
        OciDistributionError::UnauthorizedError { .. } => explain(StatusCode::UNAUTHORIZED, &[]),
        OciDistributionError::ServerError { code, message, .. } => {
            explain(status(*code), message.as_bytes())
        }
        OciDistributionError::RegistryError { envelope, .. } => meaning_of(envelope).to_owned(),
        OciDistributionError::ImageManifestNotFoundError(_) => "the manifest is missing".to_owned(),
        _ => "it does not answer like a registry".to_owned(),
    }
}

fn meaning_of(envelope: &OciEnvelope) -> &'static str {
    match envelope.errors.first().map(|error| &error.code) {
        Some(OciErrorCode::Denied) => "access is denied",
        Some(OciErrorCode::Unauthorized) => "a login is required",
        Some(OciErrorCode::Toomanyrequests) => "too many requests",
        Some(OciErrorCode::ManifestUnknown | OciErrorCode::NotFound) => "the manifest is missing",
        Some(OciErrorCode::NameUnknown) => "the repository is missing",
        Some(OciErrorCode::Unsupported) => "the operation is not supported",
        Some(OciErrorCode::Other(_)) | None => "it refused the request",
        Some(_) => "it refused the request as invalid",
    }
}
