//! Members of projects.

use actix_web::{HttpResponse, web};
use slipway_domain::{Role, UserId};
use slipway_farm::{Farm, FarmError, Member, Page, ProjectAccess};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageRequest;
use crate::builds_v3::{Answer, at, convert, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            at("/projects/{id}/members", "GET, HEAD, POST")
                .route(read().to(list))
                .route(web::post().to(add)),
        )
        .service(
            at("/projects/{id}/members/{user}", "GET, HEAD, PUT, DELETE")
                .route(read().to(get))
                .route(web::put().to(update))
                .route(web::delete().to(delete)),
        );
}

/// `GET /projects/:id/members[?query=]`: lists the members of a project, without those of its
/// namespace.
///
/// 200; 400 if `page` is invalid; 401; 403 for guests; 404 if the project does not exist.
async fn list(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let page = PageRequest::from_call(&call)?;
    let access = call.project(&path, Role::Reader).await?;
    let mut members = all_members(&farm, &access).await?;
    if let Some(part) = call.params.non_empty("query") {
        let part = part.to_ascii_lowercase();
        members.retain(|member| member.name.as_str().to_ascii_lowercase().contains(&part));
    }
    let list: Vec<_> = members.iter().map(convert::member).collect();
    Ok(page.answer_part(&call, &list))
}

/// `GET /projects/:id/members/:user_id`: one member of a project.
///
/// 200; 400 if the id is invalid; 401; 403 for guests; 404 if the project or member does not exist.
async fn get(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, user) = path.into_inner();
    let access = call.project(&id, Role::Reader).await?;
    let member = find_member(&farm, &access, user_id(&user)?).await?;
    Ok(HttpResponse::Ok().json(convert::member(&member)))
}

/// `POST /projects/:id/members`: adds the user `user_id` as a member with `access_level`.
///
/// 201; 400 if either is missing or invalid; 401; 403 for roles below owner; 404 if the project or
/// user does not exist; 409 if the user is already a member.
async fn add(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Owner).await?;
    let user = user_id(call.params.required("user_id")?)?;
    let role = requested_role(&call)?;
    // Setting the role of an existing member would succeed in the farm; GitLab answers 409.
    match find_member(&farm, &access, user).await {
        Ok(_) => return Err(FarmError::Conflict("Member already exists".to_owned()).into()),
        Err(V3Error::Farm(FarmError::NotFound(_))) => {}
        Err(other) => return Err(other),
    }
    let added = farm.set_project_member_by_id(&access, user, role).await?;
    Ok(HttpResponse::Created().json(convert::member(&added)))
}

/// `PUT /projects/:id/members/:user_id`: changes a member's `access_level`.
///
/// 200; 400 if it is missing or invalid; 401; 403 for roles below owner; 404 if the project or
/// member does not exist.
async fn update(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, user) = path.into_inner();
    let access = call.project(&id, Role::Owner).await?;
    let role = requested_role(&call)?;
    let member = find_member(&farm, &access, user_id(&user)?).await?;
    let changed = farm.set_project_member_by_id(&access, member.user, role);
    Ok(HttpResponse::Ok().json(convert::member(&changed.await?)))
}

/// `DELETE /projects/:id/members/:user_id`: removes a member from a project.
///
/// 200 with the former member; 400 if the id is invalid; 401; 403 for roles below owner; 404 if the
/// project or member does not exist.
async fn delete(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, user) = path.into_inner();
    let access = call.project(&id, Role::Owner).await?;
    let member = find_member(&farm, &access, user_id(&user)?).await?;
    farm.remove_project_member(&access, &member.name).await?;
    Ok(HttpResponse::Ok().json(convert::member(&member)))
}

/// All members of a project, the oldest user first.
async fn all_members(farm: &Farm, access: &ProjectAccess) -> Result<Vec<Member>, V3Error> {
    let everyone = Page {
        before: None,
        limit: i64::MAX,
    };
    let mut members = farm.project_members(access, everyone).await?;
    members.reverse();
    Ok(members)
}

async fn find_member(farm: &Farm, access: &ProjectAccess, user: UserId) -> Result<Member, V3Error> {
    let members = all_members(farm, access).await?;
    let found = members.into_iter().find(|member| member.user == user);
    found.ok_or(V3Error::Farm(FarmError::NotFound("member")))
}

fn requested_role(call: &Call) -> Result<Role, V3Error> {
    call.params.required("access_level")?;
    let level = call.params.parsed("access_level")?;
    let role = level.and_then(convert::role_of_level);
    role.ok_or(V3Error::BadValue("access_level"))
}

fn user_id(text: &str) -> Result<UserId, V3Error> {
    text.parse().map_err(|_| V3Error::BadParameter("user_id"))
}
