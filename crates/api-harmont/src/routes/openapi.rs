//! The OpenAPI document, and `ping`.

use actix_web::HttpResponse;
use serde_json::json;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, PathItem, Ref, ResponseBuilder, Server};

use super::{Answer, builds, jobs};
use crate::auth::{PublicCall, V0, V1};
use crate::wire::{ErrorBody, ErrorDetail};

/// The errors of every operation.
const COMMON_ERRORS: [(&str, &str); 5] = [
    ("401", "The token is missing or invalid."),
    (
        "404",
        "The resource does not exist, or the caller may not see it.",
    ),
    ("406", "The Accept header excludes JSON."),
    ("500", "Internal error."),
    ("503", "Temporarily unavailable. Try again later."),
];
/// The additional errors of operations that change something.
const WRITE_ERRORS: [(&str, &str); 1] = [(
    "403",
    "The caller lacks the permission, or the pipeline does not allow it.",
)];
/// The additional errors of operations with a body.
const BODY_ERRORS: [(&str, &str); 4] = [
    ("400", "The body is not valid JSON."),
    ("413", "The body is too large."),
    ("415", "The Content-Type is not JSON."),
    ("422", "A field or the graph is invalid."),
];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Slipway builds",
        description = "The builds API for clients of Harmont."
    ),
    paths(
        builds::create_by_source,
        builds::create,
        builds::list,
        builds::read,
        builds::cancel,
        builds::log_token,
        jobs::list,
        jobs::read
    ),
    components(schemas(ErrorBody, ErrorDetail))
)]
struct Document;

/// `GET /api/v0/ping`: whether the server responds. Without a token.
///
/// 200; 406.
pub(super) async fn ping(_: PublicCall) -> Answer {
    Ok(HttpResponse::Ok().json(json!({"status": "ok"})))
}

/// `GET /api/v0/openapi.json`: the OpenAPI document of this API. Without a token.
///
/// 200; 406.
pub(super) async fn document(public: PublicCall) -> Answer {
    let mut document = openapi();
    if public.http.path().starts_with(V1) {
        let paths = std::mem::take(&mut document.paths.paths);
        let newer = |(path, item): (String, PathItem)| (path.replacen(V0, V1, 1), item);
        document.paths.paths = paths.into_iter().map(newer).collect();
    }
    let url = public.farm.settings().public_url.as_ref();
    document.servers = url.map(|url| vec![Server::new(url)]);
    Ok(HttpResponse::Ok().json(document))
}

/// The OpenAPI document of the operations on builds and jobs.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    for item in document.paths.paths.values_mut() {
        if let Some(operation) = &mut item.get {
            complete(operation, &[]);
        }
        if let Some(operation) = &mut item.put {
            complete(operation, &WRITE_ERRORS);
        }
        if let Some(operation) = &mut item.post {
            let errors = [&WRITE_ERRORS[..], &BODY_ERRORS[..]].concat();
            complete(operation, &errors);
        }
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    document
}

/// Adds the token and the errors to an operation.
fn complete(operation: &mut Operation, errors: &[(&str, &str)]) {
    let none: [String; 0] = [];
    let token = SecurityRequirement::new("token", none);
    operation.security.get_or_insert_default().push(token);
    for (status, why) in COMMON_ERRORS.iter().chain(errors) {
        let schema = Ref::from_schema_name("ErrorBody");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let error = ResponseBuilder::new()
            .description(*why)
            .content("application/json", content)
            .build();
        let responses = &mut operation.responses.responses;
        responses.insert((*status).to_owned(), error.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_lists_its_errors() {
        let document = serde_json::to_value(openapi()).unwrap();
        let mut operations = 0;
        for item in document["paths"].as_object().unwrap().values() {
            for (method, operation) in item.as_object().unwrap() {
                operations += 1;
                let responses = operation["responses"].as_object().unwrap();
                let lists = |status: &str| responses.contains_key(status);
                assert!(
                    ["401", "404", "406", "503"].into_iter().all(lists),
                    "{operation}"
                );
                assert_eq!(lists("422"), method == "post", "{operation}");
                assert!(operation["tags"].is_array(), "{operation}");
            }
        }
        assert_eq!(operations, 8);
    }
}
