//! Organizations, which are the farm's namespaces.

use actix_web::HttpResponse;
use serde_json::Value;
use slipway_farm::{FarmError, Namespace};
use slipway_http::UnreadBody;

use super::Answer;
use crate::auth::Call;
use crate::convert;
use crate::error::HarmontError;
use crate::wire::{Fields, PageQuery};

/// `GET /api/v0/organizations`: a page of the caller's own organizations, oldest first.
///
/// 200; 401.
pub(super) async fn list(call: Call) -> Answer {
    let wanted = PageQuery::parse(call.http.query_string());
    let after = wanted.cursor.unwrap_or(0);
    let fetched = call
        .farm
        .own_namespaces(&call.actor, after, wanted.fetch_limit());
    let page = wanted.page(
        fetched.await?,
        |namespace| namespace.id.0,
        |namespace| shown(&call, &namespace),
    );
    Ok(HttpResponse::Ok().json(page))
}

/// `POST /api/v0/organizations`: creates an organization. The caller becomes its owner.
///
/// 201; 401; 403 if the token lacks the scope; 422 if no slug can be derived from the name.
pub(super) async fn create(call: Call, body: UnreadBody) -> Answer {
    let limit = call.settings().max_json_bytes;
    let fields = Fields::read(&call, body, limit, HarmontError::OrganizationInvalid).await?;
    let name = fields.required("name")?;
    // The URL is validated and not stored: namespaces have none.
    fields.text("url")?;
    let created = call.farm.create_titled_namespace(&call.actor, name).await;
    let namespace = created.map_err(|error| match error {
        FarmError::Invalid(why) => HarmontError::OrganizationInvalid(why),
        error => error.into(),
    })?;
    Ok(HttpResponse::Created().json(shown(&call, &namespace)))
}

/// `GET /api/v0/organizations/{org}`: one organization.
///
/// 200; 401; 404.
pub(super) async fn read(call: Call) -> Answer {
    let access = call.organization().await?;
    Ok(HttpResponse::Ok().json(shown(&call, access.namespace())))
}

/// An organization as the caller's generation shows it.
fn shown(call: &Call, namespace: &Namespace) -> Value {
    let id = call.farm.namespace_uuid(namespace.id);
    call.with_id(convert::organization(namespace), id)
}
