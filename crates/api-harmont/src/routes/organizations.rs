//! Organizations: namespaces.

use actix_web::{HttpResponse, web};
use serde_json::json;
use slipway_farm::FarmError;

use crate::body::Fields;
use crate::call::Call;
use crate::convert;
use crate::paging::Wanted;
use crate::problem::{Answer, Problem};

/// `GET /api/v0/organizations`: a page of the caller's own organizations, oldest first.
///
/// 200; 401.
pub(crate) async fn list(call: Call) -> Answer {
    let wanted = Wanted::of(call.http.query_string());
    let after = wanted.cursor.unwrap_or(0);
    let fetched = call
        .farm
        .own_namespaces(&call.actor, after, wanted.fetched());
    let page = wanted.page(
        fetched.await?,
        |namespace| namespace.id.0,
        |namespace| json!(convert::organization(&namespace)),
    );
    Ok(HttpResponse::Ok().json(page))
}

/// `POST /api/v0/organizations`: makes an organization, of which the caller becomes an owner.
///
/// 201; 401; 403 to tokens that may not; 422 when nothing of the name can be a short name.
pub(crate) async fn create(call: Call, payload: web::Payload) -> Answer {
    let limit = call.farm.settings().max_json_bytes;
    let fields = Fields::read(&call.http, payload, limit, Problem::OrganizationInvalid).await?;
    let name = fields.needed("name")?;
    fields.text("url")?;
    let made = call.farm.create_titled_namespace(&call.actor, name).await;
    let namespace = made.map_err(|error| match error {
        FarmError::Invalid(why) => Problem::OrganizationInvalid(why),
        error => error.into(),
    })?;
    Ok(HttpResponse::Created().json(convert::organization(&namespace)))
}

/// `GET /api/v0/organizations/{org}`: one organization.
///
/// 200; 401; 404.
pub(crate) async fn read(call: Call) -> Answer {
    let access = call.organization().await?;
    Ok(HttpResponse::Ok().json(convert::organization(access.namespace())))
}
