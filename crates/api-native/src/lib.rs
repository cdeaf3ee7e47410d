//! The native API under `/v1`: everything that the farm can do, in the farm's own terms.
//!
//! Handlers extract, call one use case of the farm and convert the result; they have no rules of
//! their own. The list of routes below both mounts and documents them, so that no route is
//! undocumented.

mod auth;
mod byte_range;
mod convert;
mod document;
mod error;
mod extractors;
mod routes;
mod wire;

use std::sync::OnceLock;

use actix_web::dev::ResourceDef;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::OpenApi;
use utoipa::openapi::{PathItem, Paths};

use crate::error::ApiError;

macro_rules! routes {
    ($($($segment:ident)::+),* $(,)?) => {
        #[derive(OpenApi)]
        #[openapi(
            info(title = "Slipway", description = include_str!("openapi.md")),
            paths($(routes::$($segment)::+),*),
            components(schemas(wire::ErrorBody))
        )]
        struct Document;

        fn mount(cfg: &mut web::ServiceConfig) {
            $(cfg.service(routes::$($segment)::+);)*
        }
    };
}

routes!(
    accounts::users::current_user,
    accounts::users::list_users,
    accounts::users::create_user,
    accounts::users::update_user,
    accounts::users::change_password,
    accounts::users::set_password,
    accounts::tokens::list_tokens,
    accounts::tokens::create_token,
    accounts::tokens::create_user_token,
    accounts::tokens::revoke_token,
    accounts::tokens::rotate_token,
    accounts::tokens::revoke_own_credentials,
    accounts::tokens::revoke_user_credentials,
    accounts::log_keys::rotate,
    runners::registration_tokens::list_shared,
    runners::registration_tokens::create_shared,
    runners::registration_tokens::list_of_project,
    runners::registration_tokens::create_of_project,
    runners::registration_tokens::revoke,
    runners::registration_tokens::reset_runners_token,
    accounts::namespaces::list_namespaces,
    accounts::namespaces::create_namespace,
    accounts::namespaces::get_namespace,
    accounts::namespaces::update_namespace,
    accounts::namespaces::list_namespace_members,
    accounts::namespaces::set_namespace_member,
    accounts::namespaces::remove_namespace_member,
    accounts::registry_credentials::list_credentials,
    accounts::registry_credentials::set_credential,
    accounts::registry_credentials::remove_credential,
    accounts::robots::list_robots,
    accounts::robots::set_robot,
    accounts::robots::remove_robot,
    projects::list_projects,
    projects::create_project,
    projects::get_project,
    projects::update_project,
    projects::delete_project,
    projects::list_project_members,
    projects::set_project_member,
    projects::remove_project_member,
    projects::triggers::list_triggers,
    projects::triggers::create_trigger,
    projects::triggers::revoke_trigger,
    projects::variables::list_variables,
    projects::variables::set_variable,
    projects::variables::remove_variable,
    projects::webhook_secret::set_hook_secret,
    projects::webhook_secret::remove_hook_secret,
    projects::deploy_keys::get_deploy_key,
    projects::deploy_keys::set_deploy_key,
    projects::deploy_keys::remove_deploy_key,
    projects::pipelines::list_pipelines,
    projects::pipelines::create_pipeline,
    projects::pipelines::get_pipeline,
    projects::pipelines::put_pipeline,
    projects::pipelines::describe_pipeline,
    builds::sources::create_source,
    builds::create_build,
    builds::check_build,
    builds::list_builds,
    builds::get_build,
    builds::cancel_build,
    builds::retry_build,
    builds::jobs::get_job,
    builds::jobs::cancel_job,
    builds::jobs::retry_job,
    builds::jobs::play_job,
    builds::jobs::erase_job,
    builds::traces::get_trace,
    builds::traces::stream_trace,
    builds::artifacts::list_artifacts,
    builds::artifacts::get_artifact,
    builds::artifacts::get_content,
    builds::artifacts::keep_artifact,
    builds::artifacts::remove_artifact,
    runners::list_runners,
    runners::get_runner,
    runners::create_shared,
    runners::list_managers,
    runners::update_runner,
    runners::remove_runner,
    runners::list_of_project,
    runners::create_of_project,
    runners::enable,
    runners::disable,
    runners::status::get_status,
    runners::queue::get_queue,
    runners::queue::get_pending_reason,
);

/// Mounts the API under `/v1`. The application data must contain a `web::Data<Farm>`.
pub fn configure(cfg: &mut web::ServiceConfig) {
    let scope = web::scope("/v1")
        .configure(extractors::configure)
        .service(routes::docs::openapi)
        .service(routes::docs::page)
        .service(routes::docs::definition_schema)
        .configure(mount)
        .default_service(web::to(no_such_route))
        .wrap(from_fn(auth::require_token));
    cfg.service(scope);
}

/// The OpenAPI document of this API, as JSON.
pub fn openapi() -> serde_json::Value {
    static DOCUMENT: OnceLock<serde_json::Value> = OnceLock::new();
    let complete = || {
        let paths = serde_json::to_value(paths_and_types());
        // Everything in it has a JSON form.
        document::complete(paths.unwrap_or_default())
    };
    DOCUMENT.get_or_init(complete).clone()
}

/// What the macros know of this API.
fn paths_and_types() -> utoipa::openapi::OpenApi {
    let document = Document::openapi();
    // The macro knows the paths of the handlers, which do not have the prefix of the scope.
    let root = utoipa::openapi::OpenApi::new(document.info.clone(), Paths::default());
    root.nest("/v1", document)
}

/// All documented routes, each with the methods that it accepts.
fn known_routes() -> &'static [(ResourceDef, String)] {
    static ROUTES: OnceLock<Vec<(ResourceDef, String)>> = OnceLock::new();
    ROUTES.get_or_init(|| {
        let document = paths_and_types();
        let methods = |item: &PathItem| {
            let accepted = [
                ("GET", item.get.is_some()),
                ("PUT", item.put.is_some()),
                ("POST", item.post.is_some()),
                ("DELETE", item.delete.is_some()),
                ("PATCH", item.patch.is_some()),
            ];
            let names = accepted.into_iter().filter(|(_, accepted)| *accepted);
            names.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
        };
        let route =
            |(path, item): (&String, &PathItem)| (ResourceDef::new(path.as_str()), methods(item));
        document.paths.paths.iter().map(route).collect()
    })
}

/// Answers requests that match no route: 405 if the path has other methods, else 404.
async fn no_such_route(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let known = known_routes()
        .iter()
        .find(|(route, _)| route.is_match(request.path()));
    Err(match known {
        Some((_, allowed)) => ApiError::Method {
            allowed: allowed.clone(),
        },
        None => ApiError::NoRoute,
    })
}
