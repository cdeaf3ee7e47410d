//! Variables of projects and registry credentials of namespaces.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, delete, get, put};
use slipway_domain::Role;
use slipway_farm::{Farm, HookSecret};

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{CredentialPath, NamespacePath, ProjectPath, VariablePath};
use crate::wire;

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/projects/{ns}/{name}/variables`: a project's variables; values of public ones alone.
///
/// 200; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project.
#[utoipa::path(tag = "variables", params(ProjectPath), responses((status = 200, body = wire::Listing<wire::Variable>)))]
#[get("/projects/{ns}/{name}/variables")]
pub(crate) async fn list_variables(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> Answer<Json<wire::Listing<wire::Variable>>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let rows = farm.variables(&access.await?).await?;
    let items = rows.into_iter().map(wire::Variable::from).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// `PUT /v1/projects/{ns}/{name}/variables/{key}`: sets a variable. A value that is not public is
/// never shown again.
///
/// 200; 400 for a name or a value that is none; 401; 403 to lower roles than maintainer; 404
/// without such a project.
#[utoipa::path(tag = "variables", params(VariablePath), request_body = wire::NewVariable, responses((status = 200, body = wire::Variable)))]
#[put("/projects/{ns}/{name}/variables/{key}")]
pub(crate) async fn set_variable(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<VariablePath>,
    body: Json<wire::NewVariable>,
) -> Answer<Json<wire::Variable>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let variable = farm.set_variable(&access, &path.key, &body.value, body.public);
    Ok(Json(variable.await?.into()))
}

/// `DELETE /v1/projects/{ns}/{name}/variables/{key}`: removes a variable.
///
/// 204; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project or variable.
#[utoipa::path(tag = "variables", params(VariablePath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/variables/{key}")]
pub(crate) async fn remove_variable(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<VariablePath>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    farm.delete_variable(&access.await?, &path.key).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `PUT /v1/projects/{ns}/{name}/webhook-secret`: sets what the project's push hooks are signed
/// with; from then on the farm's own secret does not count for it.
///
/// 204; 400 for a name or a secret that is none; 401; 403 to lower roles than maintainer; 404
/// without such a project.
#[utoipa::path(tag = "webhooks", params(ProjectPath), request_body = wire::NewHookSecret, responses((status = 204)))]
#[put("/projects/{ns}/{name}/webhook-secret")]
pub(crate) async fn set_hook_secret(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: Json<wire::NewHookSecret>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let secret = HookSecret::new(&body.secret)?;
    farm.set_hook_secret(&access, &secret).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /v1/projects/{ns}/{name}/webhook-secret`: removes what the project's push hooks are
/// signed with.
///
/// 204; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project, or when it has no secret of its own.
#[utoipa::path(tag = "webhooks", params(ProjectPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/webhook-secret")]
pub(crate) async fn remove_hook_secret(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    farm.delete_hook_secret(&access.await?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /v1/namespaces/{ns}/registry-credentials`: what jobs log in to registries with; never the
/// passwords.
///
/// 200; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// namespace.
#[utoipa::path(tag = "registry credentials", params(NamespacePath), responses((status = 200, body = wire::Listing<wire::RegistryCredential>)))]
#[get("/namespaces/{ns}/registry-credentials")]
pub(crate) async fn list_credentials(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
) -> Answer<Json<wire::Listing<wire::RegistryCredential>>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Maintainer);
    let rows = farm.registry_credentials(&access.await?).await?;
    let items = rows.into_iter().map(wire::RegistryCredential::from);
    Ok(Json(wire::Listing::whole(items.collect())))
}

/// `PUT /v1/namespaces/{ns}/registry-credentials`: sets what jobs log in to a registry with.
///
/// 200; 400 for a registry or a user name that is none; 401; 403 to lower roles than maintainer;
/// 404 without such a namespace.
#[utoipa::path(tag = "registry credentials", params(NamespacePath), request_body = wire::NewRegistryCredential, responses((status = 200, body = wire::RegistryCredential)))]
#[put("/namespaces/{ns}/registry-credentials")]
pub(crate) async fn set_credential(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
    body: Json<wire::NewRegistryCredential>,
) -> Answer<Json<wire::RegistryCredential>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Maintainer);
    let access = access.await?;
    let set = farm.set_registry_credential(&access, &body.registry, &body.username, &body.password);
    Ok(Json(set.await?.into()))
}

/// `DELETE /v1/namespaces/{ns}/registry-credentials/{registry}`: removes a registry credential.
///
/// 204; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// namespace or credential.
#[utoipa::path(tag = "registry credentials", params(CredentialPath), responses((status = 204)))]
#[delete("/namespaces/{ns}/registry-credentials/{registry}")]
pub(crate) async fn remove_credential(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<CredentialPath>,
) -> Answer<HttpResponse> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Maintainer);
    let access = access.await?;
    farm.delete_registry_credential(&access, &path.registry)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
