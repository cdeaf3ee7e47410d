//! The native API, under `/v1`: the whole of the farm in its own words.
//!
//! A translator and nothing else: handlers extract, call one use case of the farm and convert. The
//! list of routes below both mounts and documents them, so that neither can be forgotten.

mod convert;
mod error;
mod extract;
mod parsed;
mod paths;
mod range;
mod routes;
mod wire;

use std::sync::OnceLock;

use actix_web::dev::ResourceDef;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, PathItem, Paths, Ref, ResponseBuilder};

use crate::error::ApiError;

macro_rules! routes {
    ($($subject:ident :: $handler:ident),* $(,)?) => {
        #[derive(OpenApi)]
        #[openapi(
            info(title = "Slipway", description = "A farm for Docker image builds."),
            paths($(routes::$subject::$handler),*),
            components(schemas(wire::ErrorBody))
        )]
        struct Described;

        fn mount(cfg: &mut web::ServiceConfig) {
            $(cfg.service(routes::$subject::$handler);)*
        }
    };
}

routes!(
    people::current_user,
    people::list_users,
    people::create_user,
    people::update_user,
    people::change_password,
    people::set_password,
    tokens::list_tokens,
    tokens::create_token,
    tokens::create_user_token,
    tokens::revoke_token,
    log_keys::rotate,
    registration::list_shared,
    registration::create_shared,
    registration::list_of_project,
    registration::create_of_project,
    registration::revoke,
    namespaces::list_namespaces,
    namespaces::create_namespace,
    namespaces::get_namespace,
    namespaces::update_namespace,
    namespaces::list_namespace_members,
    namespaces::set_namespace_member,
    namespaces::remove_namespace_member,
    secrets::list_credentials,
    secrets::set_credential,
    secrets::remove_credential,
    robots::list_robots,
    robots::set_robot,
    robots::remove_robot,
    projects::list_projects,
    projects::create_project,
    projects::get_project,
    projects::update_project,
    projects::delete_project,
    projects::list_project_members,
    projects::set_project_member,
    projects::remove_project_member,
    triggers::list_triggers,
    triggers::create_trigger,
    triggers::revoke_trigger,
    secrets::list_variables,
    secrets::set_variable,
    secrets::remove_variable,
    secrets::set_hook_secret,
    secrets::remove_hook_secret,
    deploy_keys::get_deploy_key,
    deploy_keys::set_deploy_key,
    deploy_keys::remove_deploy_key,
    pipelines::list_pipelines,
    pipelines::create_pipeline,
    pipelines::get_pipeline,
    pipelines::put_pipeline,
    pipelines::describe_pipeline,
    sources::create_source,
    builds::create_build,
    builds::check_build,
    builds::list_builds,
    builds::get_build,
    builds::cancel_build,
    builds::retry_build,
    jobs::get_job,
    jobs::cancel_job,
    jobs::retry_job,
    jobs::play_job,
    jobs::erase_job,
    traces::get_trace,
    traces::stream_trace,
    artifacts::list_artifacts,
    artifacts::get_artifact,
    artifacts::get_content,
    artifacts::keep_artifact,
    artifacts::remove_artifact,
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
    queue::get_queue,
    queue::get_pending_reason,
);

/// Mounts the API under `/v1`. The app's data must have a `web::Data<Farm>`.
pub fn configure(cfg: &mut web::ServiceConfig) {
    let scope = web::scope("/v1")
        .configure(extract::configure_extractors)
        .service(routes::docs::openapi)
        .service(routes::docs::page)
        .service(routes::docs::definition_schema)
        .configure(mount)
        .default_service(web::to(no_such_route))
        .wrap(from_fn(extract::authenticated));
    cfg.service(scope);
}

/// The description of this API: every route, every shape, and how to log in.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut described = Described::openapi();
    for item in described.paths.paths.values_mut() {
        operations_mut(item).for_each(complete);
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = described.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let nowhere = utoipa::openapi::OpenApi::new(described.info.clone(), Paths::default());
    nowhere.nest("/v1", described)
}

/// Adds what holds for every operation: the token, and the shape of failures.
fn complete(operation: &mut Operation) {
    let none: [String; 0] = [];
    let token = SecurityRequirement::new("token", none);
    operation.security.get_or_insert_default().push(token);
    let shape = Ref::from_schema_name("ErrorBody");
    let content = ContentBuilder::new().schema(Some(shape)).build();
    let failure = ResponseBuilder::new()
        .description("A failure, as the description lists them; 503 has a `Retry-After`.")
        .content("application/json", content)
        .build();
    let responses = &mut operation.responses.responses;
    responses.insert("default".to_owned(), failure.into());
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .flatten()
}

/// The routes there are, with the methods that each takes.
fn known_routes() -> &'static [(ResourceDef, String)] {
    static ROUTES: OnceLock<Vec<(ResourceDef, String)>> = OnceLock::new();
    ROUTES.get_or_init(|| {
        let described = openapi();
        let methods = |item: &PathItem| {
            let taken = [
                ("GET", item.get.is_some()),
                ("PUT", item.put.is_some()),
                ("POST", item.post.is_some()),
                ("DELETE", item.delete.is_some()),
                ("PATCH", item.patch.is_some()),
            ];
            let names = taken.into_iter().filter(|(_, taken)| *taken);
            names.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
        };
        let route =
            |(path, item): (&String, &PathItem)| (ResourceDef::new(path.as_str()), methods(item));
        described.paths.paths.iter().map(route).collect()
    })
}

/// Answers what no route takes: 405 where another method would do, else 404.
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
