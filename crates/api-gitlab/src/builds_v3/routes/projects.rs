//! Projects and namespaces.

use actix_web::{HttpResponse, web};
use slipway_domain::{GitRef, Name, NamespaceId, Role, Visibility};
use slipway_farm::{
    Farm, FarmError, ProjectAccess, ProjectOrder, ProjectQuery, ProjectSettings, ProjectUpdate,
    Whose,
};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageOf;
use crate::builds_v3::wire::projects::{self as project_wire, SimpleProject};
use crate::builds_v3::{Answer, at, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            at("/projects")
                .route(read().to(list))
                .route(web::post().to(create)),
        )
        .service(at("/projects/owned").route(read().to(list_owned)))
        .service(at("/projects/all").route(read().to(list_all)))
        .service(at("/projects/visible").route(read().to(list_visible)))
        .service(at("/projects/starred").route(read().to(list_starred)))
        .service(at("/projects/search/{query}").route(read().to(search)))
        .service(
            at("/projects/{id}")
                .route(read().to(one))
                .route(web::put().to(change))
                .route(web::delete().to(remove)),
        )
        .service(at("/namespaces").route(read().to(list_namespaces)));
}

/// `GET /projects`: the projects that the caller is a member of, narrowed by `archived`,
/// `visibility` and `search`, in the order of `order_by` and `sort`, with few words if `simple`.
///
/// 200; 400 for a parameter that is none; 401.
async fn list(farm: web::Data<Farm>, call: Call) -> Answer {
    listed(&farm, &call, Whose::Joined, None).await
}

/// `GET /projects/owned`: the projects that the caller owns.
///
/// As `GET /projects`.
async fn list_owned(farm: web::Data<Farm>, call: Call) -> Answer {
    listed(&farm, &call, Whose::Owned, None).await
}

/// `GET /projects/all`: all projects.
///
/// As `GET /projects`; 403 to everybody but administrators.
async fn list_all(farm: web::Data<Farm>, call: Call) -> Answer {
    listed(&farm, &call, Whose::All, None).await
}

/// `GET /projects/visible`: the projects that the caller may see.
///
/// As `GET /projects`.
async fn list_visible(farm: web::Data<Farm>, call: Call) -> Answer {
    listed(&farm, &call, Whose::Seen, None).await
}

/// `GET /projects/starred`: nothing, as the farm has no stars.
///
/// 200; 400 for a page that is none; 401.
async fn list_starred(call: Call) -> Answer {
    let nothing: [SimpleProject; 0] = [];
    Ok(PageOf::of(&call)?.cut(&call, &nothing))
}

/// `GET /projects/search/:query`: the projects that the caller may see and whose name has the
/// query in it.
///
/// As `GET /projects`.
async fn search(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    listed(&farm, &call, Whose::Seen, Some(path.into_inner())).await
}

async fn listed(farm: &Farm, call: &Call, whose: Whose, text: Option<String>) -> Answer {
    let page = PageOf::of(call)?;
    let params = &call.params;
    let order = match params.given("order_by") {
        None | Some("id" | "created_at") => ProjectOrder::Made,
        Some("name" | "path") => ProjectOrder::Name,
        Some("updated_at" | "last_activity_at") => ProjectOrder::Activity,
        Some(_) => return Err(V3Error::BadValue("order_by")),
    };
    let ascending = match params.given("sort") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(V3Error::BadValue("sort")),
    };
    let visibility = params.given("visibility").map(str::parse).transpose();
    let query = ProjectQuery {
        whose,
        text: text.or_else(|| params.given("search").map(str::to_owned)),
        visibility: visibility.map_err(|_| V3Error::BadValue("visibility"))?,
        order,
        ascending,
        offset: page.offset(),
        limit: page.limit(),
    };
    let simple = params.boolean("simple")? == Some(true);
    let archived = params.boolean("archived")? == Some(true);
    let (mut projects, mut total) = farm.find_projects(&call.actor, query).await?;
    // No project is ever archived here.
    if archived {
        (projects, total) = (Vec::new(), 0);
    }
    if simple {
        let shown: Vec<SimpleProject> = projects.iter().map(SimpleProject::from).collect();
        return Ok(page.answer(call, &shown, total));
    }
    let company = farm.company_of(&call.actor, &projects).await?;
    let shown: Vec<project_wire::Project> = projects
        .iter()
        .map(|project| project_wire::project(call, project, &company, None))
        .collect();
    Ok(page.answer(call, &shown, total))
}

/// `GET /projects/:id`: one project; masters are told the token that its runners register with.
///
/// 200; 401; 404 without such a project.
async fn one(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Guest).await?;
    shown(&farm, &call, &access, HttpResponse::Ok()).await
}

/// `POST /projects`: makes a project of the source `import_url`, named `path` or `name`, in the
/// namespace `namespace_id` or the one that bears the caller's name, which is made if it is free.
///
/// 201; 400 without a name or a source, for values that are none, or when the name is taken; 401;
/// 403 to lower roles than master in the namespace; 404 without such a namespace.
async fn create(farm: web::Data<Farm>, call: Call) -> Answer {
    let params = &call.params;
    // The farm has one name for what GitLab has two: the one that stands in paths.
    let name = params
        .given("path")
        .map_or_else(|| params.required("name"), Ok)?;
    let name: Name = name.parse().map_err(FarmError::from)?;
    let source = params.required("import_url")?;
    let default_branch: GitRef = match params.given("default_branch") {
        Some(branch) => branch.parse().map_err(FarmError::from)?,
        None => "main".parse().map_err(FarmError::from)?,
    };
    let mut settings = ProjectSettings::of_source(source, default_branch);
    settings.description = params.given("description").unwrap_or_default().to_owned();
    settings.visibility = visibility(&call)?.unwrap_or(settings.visibility);
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
    let made = farm
        .create_project(&call.actor, &namespace, &name, settings)
        .await;
    let project = made.map_err(name_taken)?;
    let access = farm
        .project_by_id(&call.actor, project.id, Role::Guest)
        .await?;
    shown(&farm, &call, &access, HttpResponse::Created()).await
}

/// `PUT /projects/:id`: changes what is given of a project.
///
/// 200; 400 for values that are none, or when the name is taken; 401; 403 to lower roles than
/// master; 404 without such a project.
async fn change(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Maintainer).await?;
    let params = &call.params;
    let name = params.given("path").or_else(|| params.given("name"));
    let branch = params.given("default_branch");
    let change = ProjectUpdate {
        repo_url: params.given("import_url").map(str::to_owned),
        default_branch: branch
            .map(str::parse)
            .transpose()
            .map_err(FarmError::from)?,
        shared_runners: params.boolean("shared_runners_enabled")?,
        name: name.map(str::parse).transpose().map_err(FarmError::from)?,
        description: params.last("description").map(str::to_owned),
        visibility: visibility(&call)?,
        public_builds: params.boolean("public_builds")?,
        builds_enabled: params.boolean("builds_enabled")?,
        ..ProjectUpdate::default()
    };
    let changed = farm.update_project(&access, change).await;
    let project = changed.map_err(name_taken)?;
    let access = farm
        .project_by_id(&call.actor, project.id, Role::Guest)
        .await?;
    shown(&farm, &call, &access, HttpResponse::Ok()).await
}

/// `DELETE /projects/:id`: removes a project with everything that it has.
///
/// 200; 401; 403 to lower roles than owner; 404 without such a project.
async fn remove(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Owner).await?;
    farm.delete_project(&access).await?;
    Ok(HttpResponse::Ok().json(true))
}

/// `GET /namespaces[?search=]`: the namespaces that the caller is a member of; all for
/// administrators.
///
/// 200; 400 for a page that is none; 401.
async fn list_namespaces(farm: web::Data<Farm>, call: Call) -> Answer {
    let page = PageOf::of(&call)?;
    let mut all = farm.all_namespaces(&call.actor).await?;
    if let Some(part) = call.params.given("search") {
        let part = part.to_ascii_lowercase();
        all.retain(|row| row.name.as_str().to_ascii_lowercase().contains(&part));
    }
    let owners = farm.owners_of(&all).await?;
    let shown: Vec<project_wire::Namespace> = all
        .iter()
        .map(|row| {
            let is_users = owners.contains_key(&row.id);
            project_wire::namespace(row.id.0, row.name.as_str(), is_users)
        })
        .collect();
    Ok(page.cut(&call, &shown))
}

async fn shown(
    farm: &Farm,
    call: &Call,
    access: &ProjectAccess,
    mut answer: actix_web::HttpResponseBuilder,
) -> Answer {
    let project = access.project();
    let company = farm
        .company_of(&call.actor, std::slice::from_ref(project))
        .await?;
    let token = access.require(Role::Maintainer).is_ok();
    let token = token.then(|| farm.project_runners_token(project.id).expose().to_owned());
    Ok(answer.json(project_wire::project(call, project, &company, token)))
}

/// The visibility that is asked for, by its number or by whether it is public.
fn visibility(call: &Call) -> Result<Option<Visibility>, V3Error> {
    const LEVEL: &str = "visibility_level";
    if let Some(level) = call.params.parsed(LEVEL)? {
        let known = project_wire::visibility(level);
        return known.map(Some).ok_or(V3Error::BadValue(LEVEL));
    }
    let public = call.params.boolean("public")?;
    Ok(public.map(|public| match public {
        true => Visibility::Public,
        false => Visibility::Private,
    }))
}

/// The one conflict that the making or naming of a project meets.
fn name_taken(error: FarmError) -> V3Error {
    match error {
        FarmError::Conflict(_) => V3Error::Taken(&["name", "path"]),
        other => other.into(),
    }
}
