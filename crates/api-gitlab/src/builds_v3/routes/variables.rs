//! Variables of projects. Masters can read their values here, as in GitLab.

use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use slipway_domain::Role;
use slipway_farm::{Farm, FarmError, NewVariable, PlainVariable, ProjectAccess};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageRequest;
use crate::builds_v3::wire::Variable;
use crate::builds_v3::{Answer, at, convert, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            at("/projects/{id}/variables", "GET, HEAD, POST")
                .route(read().to(list))
                .route(web::post().to(create)),
        )
        .service(
            at(
                "/projects/{id}/variables/{key}",
                "GET, HEAD, POST, PUT, DELETE",
            )
            .route(read().to(get))
            .route(web::post().to(create_named))
            .route(web::put().to(update))
            .route(web::delete().to(delete)),
        );
}

/// `GET /projects/:id/variables`: lists the variables of a project, with their values.
///
/// 200; 400 if `page` is invalid; 401; 403 for roles below master; 404 if the project does not
/// exist.
async fn list(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let page = PageRequest::from_call(&call)?;
    let access = call.project(&path, Role::Maintainer).await?;
    let variables = farm.plain_variables(&access).await?;
    let list: Vec<_> = variables.iter().map(convert::variable).collect();
    Ok(page.answer_part(&call, &list))
}

/// `GET /projects/:id/variables/:key`: one variable, with its value.
///
/// 200; 401; 403 for roles below master; 404 if the project or variable does not exist.
async fn get(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, key) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    let variable = existing(&farm, &access, &key).await?;
    Ok(HttpResponse::Ok().json(convert::variable(&variable)))
}

/// `POST /projects/:id/variables`: creates the variable `key` with `value`, which is masked in
/// traces.
///
/// 201; 400 if either is missing or invalid, or the variable exists; 401; 403 for roles below
/// master; 404 if the project does not exist.
async fn create(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Maintainer).await?;
    let key = call.params.required("key")?;
    create_variable(&farm, &call, &access, key).await
}

/// `POST /projects/:id/variables/:key`: creates a variable, with its key in the path.
///
/// Answers as `POST /projects/:id/variables`.
async fn create_named(
    farm: web::Data<Farm>,
    call: Call,
    path: web::Path<(String, String)>,
) -> Answer {
    let (id, key) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    create_variable(&farm, &call, &access, &key).await
}

async fn create_variable(farm: &Farm, call: &Call, access: &ProjectAccess, key: &str) -> Answer {
    let value = value(call)?;
    // Setting an existing variable would succeed in the farm; GitLab answers 400.
    match existing(farm, access, key).await {
        Ok(_) => return Err(V3Error::Taken(&["key"])),
        Err(V3Error::Farm(FarmError::NotFound(_))) => {}
        Err(other) => return Err(other),
    }
    let new = NewVariable {
        value,
        public: false,
        file: false,
    };
    let set = farm.set_variable(access, key, new).await?;
    Ok(with_warning(HttpResponse::Created(), set.warning).json(Variable { key, value }))
}

/// A warning about the value is a header, because the body has fixed members.
fn with_warning(mut answer: HttpResponseBuilder, warning: Option<String>) -> HttpResponseBuilder {
    if let Some(warning) = warning {
        answer.insert_header((header::WARNING, format!("199 - \"{warning}\"")));
    }
    answer
}

/// `PUT /projects/:id/variables/:key`: changes the `value` of a variable.
///
/// 200; 400 if it is missing or invalid; 401; 403 for roles below master; 404 if the project or
/// variable does not exist.
async fn update(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, key) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    let value = value(&call)?;
    let old = existing(&farm, &access, &key).await?;
    // This API has no word for either, so they stay as they are.
    let new = NewVariable {
        value,
        public: old.public,
        file: old.file,
    };
    let set = farm.set_variable(&access, &key, new).await?;
    Ok(with_warning(HttpResponse::Ok(), set.warning).json(Variable { key: &key, value }))
}

/// `DELETE /projects/:id/variables/:key`: deletes a variable.
///
/// 200 with the deleted variable; 401; 403 for roles below master; 404 if the project or variable
/// does not exist.
async fn delete(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, key) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    let old = existing(&farm, &access, &key).await?;
    farm.delete_variable(&access, &key).await?;
    Ok(HttpResponse::Ok().json(convert::variable(&old)))
}

/// The parameter `value`. It may be empty.
fn value(call: &Call) -> Result<&str, V3Error> {
    let value = call.params.last("value");
    value.ok_or(V3Error::Missing("value"))
}

async fn existing(
    farm: &Farm,
    access: &ProjectAccess,
    key: &str,
) -> Result<PlainVariable, V3Error> {
    let variables = farm.plain_variables(access).await?;
    let found = variables.into_iter().find(|variable| variable.key == key);
    found.ok_or(V3Error::Farm(FarmError::NotFound("variable")))
}
