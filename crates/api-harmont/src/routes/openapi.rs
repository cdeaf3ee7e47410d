//! What this API is, for programs; and whether it is there.

use actix_web::HttpResponse;
use serde_json::json;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder, Server};

use super::{builds, jobs};
use crate::call::Anybody;
use crate::described::{Failure, Told};
use crate::problem::Answer;

/// What goes wrong with any operation.
const ALWAYS: [(&str, &str); 5] = [
    ("401", "Nobody is known to call."),
    (
        "404",
        "What the path names is not there, or not for the caller to know of.",
    ),
    ("406", "The caller does not take JSON."),
    ("500", "A bug."),
    ("503", "Try again later."),
];
/// What goes wrong with operations that change something besides.
const CHANGING: [(&str, &str); 1] = [("403", "The caller, or the pipeline, may not.")];
/// What goes wrong with operations that take a body besides.
const TAKING: [(&str, &str); 4] = [
    ("400", "The body is no JSON."),
    ("413", "The body is longer than is read."),
    ("415", "The body is not said to be JSON."),
    ("422", "A field or the graph cannot be."),
];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Builds of Slipway",
        description = "Builds as clients of Harmont know them."
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
    components(schemas(Failure, Told))
)]
struct Described;

/// `GET /api/v0/ping`: whether somebody answers. Without a token.
///
/// 200; 406.
pub(crate) async fn ping(_: Anybody) -> Answer {
    Ok(HttpResponse::Ok().json(json!({"status": "ok"})))
}

/// `GET /api/v0/openapi.json`: this API in the OpenAPI format. Without a token.
///
/// 200; 406.
pub(crate) async fn described(anybody: Anybody) -> Answer {
    let mut described = openapi();
    let public = anybody.farm.settings().public_url.as_ref();
    described.servers = public.map(|url| vec![Server::new(url)]);
    Ok(HttpResponse::Ok().json(described))
}

/// The description of the operations on builds and jobs.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut described = Described::openapi();
    for item in described.paths.paths.values_mut() {
        let read = [&mut item.get].into_iter().flatten();
        read.for_each(|operation| complete(operation, &[]));
        let change = [&mut item.put].into_iter().flatten();
        change.for_each(|operation| complete(operation, &CHANGING));
        let take = [&mut item.post].into_iter().flatten();
        let all = [&CHANGING[..], &TAKING[..]].concat();
        take.for_each(|operation| complete(operation, &all));
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = described.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    described
}

/// Adds the token, and the shape of failures.
fn complete(operation: &mut Operation, own: &[(&str, &str)]) {
    let none: [String; 0] = [];
    let token = SecurityRequirement::new("token", none);
    operation.security.get_or_insert_default().push(token);
    for (status, why) in ALWAYS.iter().chain(own) {
        let shape = Ref::from_schema_name("Failure");
        let content = ContentBuilder::new().schema(Some(shape)).build();
        let failure = ResponseBuilder::new()
            .description(*why)
            .content("application/json", content)
            .build();
        let responses = &mut operation.responses.responses;
        responses.insert((*status).to_owned(), failure.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_tells_how_it_fails() {
        let described = serde_json::to_value(openapi()).unwrap();
        let mut operations = 0;
        for item in described["paths"].as_object().unwrap().values() {
            for (method, operation) in item.as_object().unwrap() {
                operations += 1;
                let responses = operation["responses"].as_object().unwrap();
                let told = |status: &str| responses.contains_key(status);
                assert!(
                    ["401", "404", "406", "503"].into_iter().all(told),
                    "{operation}"
                );
                assert_eq!(told("422"), method == "post", "{operation}");
                assert!(operation["tags"].is_array(), "{operation}");
            }
        }
        assert_eq!(operations, 8);
    }
}
