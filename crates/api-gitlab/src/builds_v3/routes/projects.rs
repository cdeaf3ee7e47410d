//! Projects and namespaces.

use actix_web::{HttpResponse, web};
use slipway_domain::{Name, NamespaceId, RefName, Role, Visibility};
use slipway_farm::{
    Farm, FarmError, ProjectAccess, ProjectOrder, ProjectQuery, ProjectSelection, ProjectSettings,
    ProjectUpdate,
};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageRequest;
use crate::builds_v3::wire::SimpleProject;
use crate::builds_v3::{Answer, at, convert, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            at("/projects", "GET, HEAD, POST")
                .route(read().to(list))
                .route(web::post().to(create)),
        )
        .service(at("/projects/owned", "GET, HEAD").route(read().to(list_owned)))
        .service(at("/projects/all", "GET, HEAD").route(read().to(list_all)))
        .service(at("/projects/visible", "GET, HEAD").route(read().to(list_visible)))
        .service(at("/projects/starred", "GET, HEAD").route(read().to(list_starred)))
        .service(at("/projects/search/{query}", "GET, HEAD").route(read().to(search)))
        .service(
            at("/projects/{id}", "GET, HEAD, PUT, DELETE")
                .route(read().to(get))
                .route(web::put().to(update))
                .route(web::delete().to(delete)),
        )
        .service(at("/namespaces", "GET, HEAD").route(read().to(list_namespaces)));
}

/// `GET /projects`: lists the projects that the caller is a member of. `archived`, `visibility` and
/// `search` filter them, `order_by` and `sort` order them, and `simple` leaves out most members.
///
/// 200; 400 if a parameter is invalid; 401.
async fn list(farm: web::Data<Farm>, call: Call) -> Answer {
    project_list(&farm, &call, ProjectSelection::Joined, None).await
}

/// `GET /projects/owned`: lists the projects that the caller owns.
///
/// Answers as `GET /projects`.
async fn list_owned(farm: web::Data<Farm>, call: Call) -> Answer {
    project_list(&farm, &call, ProjectSelection::Owned, None).await
}

/// `GET /projects/all`: lists all projects.
///
/// Answers as `GET /projects`; 403 unless the caller is an administrator.
async fn list_all(farm: web::Data<Farm>, call: Call) -> Answer {
    project_list(&farm, &call, ProjectSelection::All, None).await
}

/// `GET /projects/visible`: lists the projects that the caller may see.
///
/// Answers as `GET /projects`.
async fn list_visible(farm: web::Data<Farm>, call: Call) -> Answer {
    project_list(&farm, &call, ProjectSelection::Seen, None).await
}

/// `GET /projects/starred`: always empty, because the farm has no stars.
///
/// 200; 400 if `page` is invalid; 401.
async fn list_starred(call: Call) -> Answer {
    let none: [SimpleProject; 0] = [];
    Ok(PageRequest::from_call(&call)?.answer_part(&call, &none))
}

/// `GET /projects/search/:query`: lists the projects that the caller may see and whose name
/// contains the query.
///
/// Answers as `GET /projects`.
async fn search(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    project_list(
        &farm,
        &call,
        ProjectSelection::Seen,
        Some(path.into_inner()),
    )
    .await
}

async fn project_list(
    farm: &Farm,
    call: &Call,
    whose: ProjectSelection,
    text: Option<String>,
) -> Answer {
    let page = PageRequest::from_call(call)?;
    let params = &call.params;
    let order = match params.non_empty("order_by") {
        None | Some("id" | "created_at") => ProjectOrder::Created,
        Some("name" | "path") => ProjectOrder::Name,
        Some("updated_at" | "last_activity_at") => ProjectOrder::Activity,
        Some(_) => return Err(V3Error::BadValue("order_by")),
    };
    let ascending = match params.non_empty("sort") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(V3Error::BadValue("sort")),
    };
    let visibility = params.non_empty("visibility").map(str::parse).transpose();
    let query = ProjectQuery {
        whose,
        text: text.or_else(|| params.non_empty("search").map(str::to_owned)),
        visibility: visibility.map_err(|_| V3Error::BadValue("visibility"))?,
        order,
        ascending,
        offset: page.offset(),
        limit: page.limit(),
    };
    let simple = params.boolean("simple")? == Some(true);
    let archived = params.boolean("archived")? == Some(true);
    let (mut projects, mut total) = farm.find_projects(&call.actor, query).await?;
    // The farm cannot archive projects, so the list of archived ones is empty.
    if archived {
        (projects, total) = (Vec::new(), 0);
    }
    if simple {
        let list: Vec<SimpleProject> = projects.iter().map(SimpleProject::from).collect();
        return Ok(page.answer(call, &list, total));
    }
    let company = farm.project_context(&call.actor, &projects).await?;
    let base_url = call.base_url();
    let list: Vec<_> = projects
        .iter()
        .map(|project| convert::project(&base_url, project, &company, None))
        .collect();
    Ok(page.answer(call, &list, total))
}

/// `GET /projects/:id`: one project. Masters also see its `runners_token`, the registration token
/// for runners of the project.
///
/// 200; 401; 404 if the project does not exist.
async fn get(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Guest).await?;
    project_response(&farm, &call, &access, HttpResponse::Ok()).await
}

/// `POST /projects`: creates a project named `path` (or `name`) for the repository `import_url`, in
/// the namespace `namespace_id`. Without one, it is the namespace with the caller's name, which is
/// created if the name is free.
///
/// 201; 400 if the name or the repository is missing, a value is invalid, or the name is taken;
/// 401; 403 for roles below master in the namespace; 404 if the namespace does not exist.
async fn create(farm: web::Data<Farm>, call: Call) -> Answer {
    let params = &call.params;
    // GitLab has a path and a display name; the farm has only the one that is part of paths.
    let name = params
        .non_empty("path")
        .map_or_else(|| params.required("name"), Ok)?;
    let name: Name = name.parse().map_err(FarmError::from)?;
    let source = params.required("import_url")?;
    let default_branch = params.non_empty("default_branch").unwrap_or("main");
    let default_branch = RefName::parse_branch(default_branch).map_err(FarmError::from)?;
    let mut settings = ProjectSettings::of_source(source, default_branch);
    settings.description = params
        .non_empty("description")
        .unwrap_or_default()
        .to_owned();
    settings.visibility = requested_visibility(&call)?.unwrap_or(settings.visibility);
    settings.public_builds = params
        .boolean("public_builds")?
        .unwrap_or(settings.public_builds);
    settings.builds_enabled = params
        .boolean("builds_enabled")?
        .unwrap_or(settings.builds_enabled);
    let shared_runners = params.boolean("shared_runners_enabled")?;
    settings.shared_runners = shared_runners.unwrap_or(settings.shared_runners);
    let namespace = match params.parsed("namespace_id")? {
        Some(id) => {
            let access = farm.namespace_by_id(&call.actor, NamespaceId(id), Role::Maintainer);
            access.await?
        }
        None => farm.own_namespace(&call.actor).await?,
    };
    let created = farm
        .create_project(&call.actor, &namespace, &name, settings)
        .await;
    let project = created.map_err(name_taken)?;
    let access = farm
        .project_by_id(&call.actor, project.id, Role::Guest)
        .await?;
    project_response(&farm, &call, &access, HttpResponse::Created()).await
}

/// `PUT /projects/:id`: changes a project. Parameters that are not sent stay unchanged.
///
/// 200; 400 if a value is invalid or the name is taken; 401; 403 for roles below master; 404 if the
/// project does not exist.
async fn update(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Maintainer).await?;
    let params = &call.params;
    let name = params
        .non_empty("path")
        .or_else(|| params.non_empty("name"));
    let branch = params.non_empty("default_branch");
    let update = ProjectUpdate {
        repo_url: params.non_empty("import_url").map(str::to_owned),
        default_branch: branch
            .map(RefName::parse_branch)
            .transpose()
            .map_err(FarmError::from)?,
        shared_runners: params.boolean("shared_runners_enabled")?,
        name: name.map(str::parse).transpose().map_err(FarmError::from)?,
        // An empty description is a value: it deletes the present one.
        description: params.last("description").map(str::to_owned),
        visibility: requested_visibility(&call)?,
        public_builds: params.boolean("public_builds")?,
        builds_enabled: params.boolean("builds_enabled")?,
        ..ProjectUpdate::default()
    };
    let changed = farm.update_project(&access, update).await;
    // `access` still has the project as it was before the change.
    let project = changed.map_err(name_taken)?;
    let access = farm
        .project_by_id(&call.actor, project.id, Role::Guest)
        .await?;
    project_response(&farm, &call, &access, HttpResponse::Ok()).await
}

/// `DELETE /projects/:id`: deletes a project, with its builds and everything else that belongs to
/// it.
///
/// 200; 401; 403 for roles below owner; 404 if the project does not exist.
async fn delete(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Owner).await?;
    farm.delete_project(&access).await?;
    Ok(HttpResponse::Ok().json(true))
}

/// `GET /namespaces[?search=]`: lists the namespaces that the caller is a member of;
/// administrators see all.
///
/// 200; 400 if `page` is invalid; 401.
async fn list_namespaces(farm: web::Data<Farm>, call: Call) -> Answer {
    let page = PageRequest::from_call(&call)?;
    let mut namespaces = farm.all_namespaces(&call.actor).await?;
    if let Some(part) = call.params.non_empty("search") {
        let part = part.to_ascii_lowercase();
        namespaces.retain(|row| row.name.as_str().to_ascii_lowercase().contains(&part));
    }
    let owners = farm.owners_of(&namespaces).await?;
    let list: Vec<_> = namespaces
        .iter()
        .map(|row| {
            let is_user = owners.contains_key(&row.id);
            convert::namespace(row.id.0, row.name.as_str(), is_user)
        })
        .collect();
    Ok(page.answer_part(&call, &list))
}

/// Answers with a project, as the caller sees it.
async fn project_response(
    farm: &Farm,
    call: &Call,
    access: &ProjectAccess,
    mut answer: actix_web::HttpResponseBuilder,
) -> Answer {
    let project = access.project();
    let company = farm
        .project_context(&call.actor, std::slice::from_ref(project))
        .await?;
    let runners_token = access
        .require(Role::Maintainer)
        .is_ok()
        .then(|| farm.project_runners_token(project).expose().to_owned());
    Ok(answer.json(convert::project(
        &call.base_url(),
        project,
        &company,
        runners_token,
    )))
}

/// The visibility in the parameters `visibility_level` or `public`; the former takes precedence.
fn requested_visibility(call: &Call) -> Result<Option<Visibility>, V3Error> {
    const LEVEL: &str = "visibility_level";
    if let Some(level) = call.params.parsed(LEVEL)? {
        let known = convert::visibility_of_level(level);
        return known.map(Some).ok_or(V3Error::BadValue(LEVEL));
    }
    let public = call.params.boolean("public")?;
    Ok(public.map(|public| {
        if public {
            Visibility::Public
        } else {
            Visibility::Private
        }
    }))
}

/// The only conflict when a project is created or renamed is a name that is taken.
fn name_taken(error: FarmError) -> V3Error {
    match error {
        FarmError::Conflict(_) => V3Error::Taken(&["name", "path"]),
        other => other.into(),
    }
}
