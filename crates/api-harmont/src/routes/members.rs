//! The members of organizations. Only the second generation has these routes.

use actix_web::HttpResponse;
use serde_json::{Value, json};
use slipway_domain::Role;
use slipway_farm::{FarmError, MAX_ROWS, Member, NamespaceAccess, Page};
use slipway_http::UnreadBody;
use uuid::Uuid;

use super::{Answer, MAX_JSON};
use crate::auth::Call;
use crate::error::HarmontError;
use crate::wire::Fields;

/// `GET /api/v1/organizations/{org}/members`: the members of an organization, newest first.
///
/// 200; 401; 404.
pub(super) async fn list(call: Call) -> Answer {
    let organization = call.organization().await?;
    let members = members(&call, &organization).await?;
    let data: Vec<Value> = members.iter().map(|member| shown(&call, member)).collect();
    Ok(HttpResponse::Ok().json(json!({ "data": data, "next_cursor": null })))
}

/// `PATCH /api/v1/organizations/{org}/members/{user_id}`: changes the role of a member.
///
/// 200; 400, 413 and 415 if the body is invalid; 401; 403 for roles below owner; 404; 409 if no owner
/// would be left; 422 if the role is invalid.
pub(super) async fn update(call: Call, body: UnreadBody) -> Answer {
    let organization = call.organization().await?;
    let member = member(&call, &organization).await?;
    let fields = Fields::read(&call, body, MAX_JSON, HarmontError::MemberInvalid).await?;
    let role = match fields.required("role")? {
        "owner" => Role::Owner,
        "admin" => Role::Maintainer,
        "member" => Role::Developer,
        _ => return Err(fields.error("role is not owner, admin or member")),
    };
    let member = call
        .farm
        .set_namespace_member(&organization, &member.name, role)
        .await?;
    Ok(HttpResponse::Ok().json(shown(&call, &member)))
}

/// `DELETE /api/v1/organizations/{org}/members/{user_id}`: removes a member.
///
/// 204; 401; 403 for roles below owner; 404; 409 if no owner would be left.
pub(super) async fn remove(call: Call) -> Answer {
    let organization = call.organization().await?;
    let member = member(&call, &organization).await?;
    call.farm
        .remove_namespace_member(&organization, &member.name)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn members(call: &Call, organization: &NamespaceAccess) -> Result<Vec<Member>, FarmError> {
    let page = Page {
        before: None,
        limit: MAX_ROWS,
    };
    call.farm.namespace_members(organization, page).await
}

/// The member that the path names.
async fn member(call: &Call, organization: &NamespaceAccess) -> Result<Member, HarmontError> {
    let id: Result<Uuid, _> = call.segment("user_id").parse();
    let id = id.map_err(|_| HarmontError::NoMember)?;
    let mut members = members(call, organization).await?.into_iter();
    let named = |member: &Member| call.farm.user_uuid(member.user) == id;
    members.find(named).ok_or(HarmontError::NoMember)
}

fn shown(call: &Call, member: &Member) -> Value {
    json!({
        "user_id": call.farm.user_uuid(member.user),
        "email": format!("{}@users.invalid", member.name),
        "name": member.name,
        "role": match member.role {
            Role::Owner => "owner",
            Role::Maintainer => "admin",
            Role::Developer | Role::Reader | Role::Guest => "member",
        },
    })
}
