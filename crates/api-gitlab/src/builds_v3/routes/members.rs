//! Members of projects.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use slipway_domain::{Role, UserId};
use slipway_farm::{Farm, FarmError, Member, Page, ProjectAccess};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageOf;
use crate::builds_v3::wire::projects::{access_level, role};
use crate::builds_v3::{Answer, at, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            at("/projects/{id}/members")
                .route(read().to(list))
                .route(web::post().to(add)),
        )
        .service(
            at("/projects/{id}/members/{user}")
                .route(read().to(one))
                .route(web::put().to(change))
                .route(web::delete().to(remove)),
        );
}

/// A member of a project.
#[derive(Serialize)]
struct Shown {
    id: i64,
    username: String,
    name: String,
    access_level: u8,
}

impl From<&Member> for Shown {
    fn from(member: &Member) -> Self {
        Self {
            id: member.user.0,
            username: member.name.to_string(),
            name: member.name.to_string(),
            access_level: access_level(member.role),
        }
    }
}

/// `GET /projects/:id/members[?query=]`: the members of a project itself; those of its namespace
/// act in it too.
///
/// 200; 400 for a page that is none; 401; 403 to guests; 404 without such a project.
async fn list(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let page = PageOf::of(&call)?;
    let access = call.project(&path, Role::Reader).await?;
    let mut members = all(&farm, &access).await?;
    if let Some(part) = call.params.given("query") {
        let part = part.to_ascii_lowercase();
        members.retain(|member| member.name.as_str().to_ascii_lowercase().contains(&part));
    }
    let shown: Vec<Shown> = members.iter().map(Shown::from).collect();
    Ok(page.cut(&call, &shown))
}

/// `GET /projects/:id/members/:user_id`: one member of a project itself.
///
/// 200; 400 for an id that is none; 401; 403 to guests; 404 without such a project or member.
async fn one(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, user) = path.into_inner();
    let access = call.project(&id, Role::Reader).await?;
    let member = member(&farm, &access, user_id(&user)?).await?;
    Ok(HttpResponse::Ok().json(Shown::from(&member)))
}

/// `POST /projects/:id/members`: makes the user `user_id` a member, with `access_level`.
///
/// 201; 400 when one of them is missing or none; 401; 403 to lower roles than owner; 404 without
/// such a project or user; 409 when it is a member already.
async fn add(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Owner).await?;
    let user = user_id(call.params.required("user_id")?)?;
    let role = given_role(&call)?;
    match member(&farm, &access, user).await {
        Ok(_) => return Err(FarmError::Conflict("Member already exists".to_owned()).into()),
        Err(V3Error::Farm(FarmError::NotFound(_))) => {}
        Err(other) => return Err(other),
    }
    let made = farm.set_project_member_by_id(&access, user, role).await?;
    Ok(HttpResponse::Created().json(Shown::from(&made)))
}

/// `PUT /projects/:id/members/:user_id`: gives a member another `access_level`.
///
/// 200; 400 when that is missing or none; 401; 403 to lower roles than owner; 404 without such a
/// project or member.
async fn change(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, user) = path.into_inner();
    let access = call.project(&id, Role::Owner).await?;
    let role = given_role(&call)?;
    let member = member(&farm, &access, user_id(&user)?).await?;
    let changed = farm.set_project_member_by_id(&access, member.user, role);
    Ok(HttpResponse::Ok().json(Shown::from(&changed.await?)))
}

/// `DELETE /projects/:id/members/:user_id`: ends a membership.
///
/// 200 with what it was; 400 for an id that is none; 401; 403 to lower roles than owner; 404
/// without such a project or member.
async fn remove(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, user) = path.into_inner();
    let access = call.project(&id, Role::Owner).await?;
    let member = member(&farm, &access, user_id(&user)?).await?;
    farm.remove_project_member(&access, &member.name).await?;
    Ok(HttpResponse::Ok().json(Shown::from(&member)))
}

/// All members of a project itself, the first user first.
async fn all(farm: &Farm, access: &ProjectAccess) -> Result<Vec<Member>, V3Error> {
    let everybody = Page {
        before: None,
        limit: i64::MAX,
    };
    let mut members = farm.project_members(access, everybody).await?;
    members.reverse();
    Ok(members)
}

async fn member(farm: &Farm, access: &ProjectAccess, user: UserId) -> Result<Member, V3Error> {
    let members = all(farm, access).await?;
    let found = members.into_iter().find(|member| member.user == user);
    found.ok_or(V3Error::Farm(FarmError::NotFound("member")))
}

fn given_role(call: &Call) -> Result<Role, V3Error> {
    call.params.required("access_level")?;
    let level = call.params.parsed("access_level")?;
    let role = level.and_then(role);
    role.ok_or(V3Error::BadValue("access_level"))
}

fn user_id(text: &str) -> Result<UserId, V3Error> {
    text.parse().map_err(|_| V3Error::BadParameter("user_id"))
}
