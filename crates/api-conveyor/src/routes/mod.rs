//! The routes of builds, artifacts and logs.

mod builds;
mod logs;

use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;
use slipway_farm::BuildIdentity;
use slipway_http::get_or_head;
use uuid::Uuid;

use crate::error::ConveyorError;

/// What a handler returns.
pub(crate) type Answer = Result<HttpResponse, ConveyorError>;

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    // `owner/name@sha` contains a slash, so these paths match everything below the prefix.
    config
        .service(
            web::resource("/builds")
                .route(web::post().to(builds::create_build))
                .default_service(web::to(not_found)),
        )
        .service(
            web::resource("/builds/{identity:.+}")
                .route(web::route().guard(get_or_head()).to(builds::get_build))
                .default_service(web::to(not_found)),
        )
        .service(
            web::resource("/artifacts/{identity:.+}")
                .route(web::route().guard(get_or_head()).to(builds::get_artifact))
                .default_service(web::to(not_found)),
        )
        .service(
            web::resource("/logs/{identity:.+}")
                .route(web::get().to(logs::follow))
                .route(web::head().to(logs::head))
                .default_service(web::to(not_found)),
        );
}

/// Any other method: 404. This API has no 405.
pub(crate) async fn not_found() -> Answer {
    Err(ConveyorError::NotFound)
}

/// The build that the end of a path names: a UUID, or `owner/name@sha`, in which `@` and `/` may be
/// percent-encoded.
///
/// # Errors
/// [`ConveyorError::NotFound`] for anything else: such a path names nothing.
fn identity(request: &HttpRequest) -> Result<BuildIdentity, ConveyorError> {
    let raw = request.match_info().get("identity").unwrap_or_default();
    parse_identity(raw).ok_or(ConveyorError::NotFound)
}

fn parse_identity(raw: &str) -> Option<BuildIdentity> {
    let text = percent_decode_str(raw).decode_utf8().ok()?;
    if let Ok(commit) = text.parse() {
        return Some(BuildIdentity::Commit(commit));
    }
    // Only the hyphenated form of 36 characters, so that each build has exactly one path.
    let uuid = Uuid::try_parse(&text).ok()?;
    (text.len() == 36).then_some(BuildIdentity::Uuid(uuid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_build_by_uuid_or_by_commit() {
        for same in [
            "acme/my.app@0123abc",
            "acme%2Fmy.app@0123abc",
            "acme/my.app%400123ABC",
        ] {
            let Some(BuildIdentity::Commit(commit)) = parse_identity(same) else {
                panic!("{same}");
            };
            assert_eq!(commit.project.to_string(), "acme/my.app");
            assert_eq!(commit.sha.as_str(), "0123abc");
        }
        let uuid = "0190a6d0-0000-7000-8000-000000000001";
        assert!(matches!(parse_identity(uuid), Some(BuildIdentity::Uuid(_))));
        for invalid in [
            "notauuid",
            "",
            "a/b@short",
            "a%25",
            "0190a6d0000070008000000000000001",
            "%ff",
        ] {
            assert_eq!(parse_identity(invalid), None, "{invalid}");
        }
    }
}
