//! Variables of projects, which maintainers read in the clear here.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use slipway_domain::Role;
use slipway_farm::{Farm, FarmError, OpenedVariable, ProjectAccess};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageOf;
use crate::builds_v3::{Answer, at, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            at("/projects/{id}/variables")
                .route(read().to(list))
                .route(web::post().to(create)),
        )
        .service(
            at("/projects/{id}/variables/{key}")
                .route(read().to(one))
                .route(web::post().to(create_named))
                .route(web::put().to(change))
                .route(web::delete().to(remove)),
        );
}

/// A variable.
#[derive(Serialize)]
struct Variable<'a> {
    key: &'a str,
    value: &'a str,
}

fn shown(variable: &OpenedVariable) -> Variable<'_> {
    Variable {
        key: &variable.key,
        value: &variable.value,
    }
}

/// `GET /projects/:id/variables`: the variables of a project, with their values.
///
/// 200; 400 for a page that is none; 401; 403 to lower roles than master; 404 without such a
/// project.
async fn list(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let page = PageOf::of(&call)?;
    let access = call.project(&path, Role::Maintainer).await?;
    let variables = farm.opened_variables(&access).await?;
    let shown: Vec<Variable<'_>> = variables.iter().map(shown).collect();
    Ok(page.cut(&call, &shown))
}

/// `GET /projects/:id/variables/:key`: one variable, with its value.
///
/// 200; 401; 403 to lower roles than master; 404 without such a project or variable.
async fn one(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, key) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    let variable = existing(&farm, &access, &key).await?;
    Ok(HttpResponse::Ok().json(shown(&variable)))
}

/// `POST /projects/:id/variables`: makes the variable `key` with `value`, which traces hide.
///
/// 201; 400 when one of them is missing or cannot be a variable's, or the variable is there
/// already; 401; 403 to lower roles than master; 404 without such a project.
async fn create(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Maintainer).await?;
    let key = call.params.required("key")?;
    make(&farm, &call, &access, key).await
}

/// `POST /projects/:id/variables/:key`: the same, with the name in the path.
///
/// As the other.
async fn create_named(
    farm: web::Data<Farm>,
    call: Call,
    path: web::Path<(String, String)>,
) -> Answer {
    let (id, key) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    make(&farm, &call, &access, &key).await
}

async fn make(farm: &Farm, call: &Call, access: &ProjectAccess, key: &str) -> Answer {
    let value = value(call)?;
    match existing(farm, access, key).await {
        Ok(_) => return Err(V3Error::Taken(&["key"])),
        Err(V3Error::Farm(FarmError::NotFound(_))) => {}
        Err(other) => return Err(other),
    }
    farm.set_variable(access, key, value, false).await?;
    Ok(HttpResponse::Created().json(Variable { key, value }))
}

/// `PUT /projects/:id/variables/:key`: gives a variable another `value`.
///
/// 200; 400 when that is missing or cannot be a variable's; 401; 403 to lower roles than master;
/// 404 without such a project or variable.
async fn change(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, key) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    let value = value(&call)?;
    let old = existing(&farm, &access, &key).await?;
    farm.set_variable(&access, &key, value, old.public).await?;
    Ok(HttpResponse::Ok().json(Variable { key: &key, value }))
}

/// `DELETE /projects/:id/variables/:key`: removes a variable.
///
/// 200 with what it was; 401; 403 to lower roles than master; 404 without such a project or
/// variable.
async fn remove(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, key) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    let old = existing(&farm, &access, &key).await?;
    farm.remove_variable(&access, &key).await?;
    Ok(HttpResponse::Ok().json(shown(&old)))
}

/// The value that a variable shall have; an empty one is one.
fn value(call: &Call) -> Result<&str, V3Error> {
    let value = call.params.last("value");
    value.ok_or(V3Error::Missing("value"))
}

async fn existing(
    farm: &Farm,
    access: &ProjectAccess,
    key: &str,
) -> Result<OpenedVariable, V3Error> {
    let variables = farm.opened_variables(access).await?;
    let found = variables.into_iter().find(|variable| variable.key == key);
    found.ok_or(V3Error::Farm(FarmError::NotFound("variable")))
}
