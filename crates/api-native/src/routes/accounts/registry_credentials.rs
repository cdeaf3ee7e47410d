//! Registry credentials of namespaces.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, delete, get, put};
use slipway_farm::Farm;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire;
use crate::wire::paths::{CredentialPath, NamespacePath};

/// Lists the registry credentials of a namespace, without their passwords.
///
/// Status: 200; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the namespace does not exist.
#[utoipa::path(
    operation_id = "list_registry_credentials",
    tag = "registry credentials",
    params(NamespacePath),
    responses((status = 200, body = wire::Listing<wire::RegistryCredential>))
)]
#[get("/namespaces/{ns}/registry-credentials")]
pub(crate) async fn list_credentials(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
) -> ApiResult<Json<wire::Listing<wire::RegistryCredential>>> {
    let access = farm.registry_accounts(&caller.0, &path.ns).await?;
    let rows = farm.registry_credentials(&access).await?;
    let items = rows.into_iter().map(wire::RegistryCredential::from);
    Ok(Json(wire::Listing::whole(items.collect())))
}

/// Sets the login of a namespace at a registry.
///
/// The jobs of all projects in the namespace use it to pull and to push. It replaces an earlier
/// credential for the same registry.
///
/// Status: 200; 400 if the registry or the user name is invalid; 401 without a valid token; 403 if
/// the caller's role is below maintainer; 404 if the namespace does not exist.
#[utoipa::path(
    operation_id = "set_registry_credential",
    tag = "registry credentials",
    params(NamespacePath),
    request_body = wire::NewRegistryCredential,
    responses((status = 200, body = wire::RegistryCredential))
)]
#[put("/namespaces/{ns}/registry-credentials")]
pub(crate) async fn set_credential(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
    body: JsonBody<wire::NewRegistryCredential>,
) -> ApiResult<Json<wire::RegistryCredential>> {
    let access = farm.registry_accounts(&caller.0, &path.ns).await?;
    let set = farm
        .set_registry_credential(&access, &body.registry, &body.username, &body.password)
        .await?;
    Ok(Json(set.into()))
}

/// Deletes the login of a namespace at a registry.
///
/// Status: 204; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the namespace or the credential does not exist.
#[utoipa::path(operation_id = "remove_registry_credential", tag = "registry credentials", params(CredentialPath), responses((status = 204)))]
#[delete("/namespaces/{ns}/registry-credentials/{registry}")]
pub(crate) async fn remove_credential(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<CredentialPath>,
) -> ApiResult<HttpResponse> {
    let access = farm.registry_accounts(&caller.0, &path.ns).await?;
    farm.delete_registry_credential(&access, &path.registry)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
