//! `slipway projects`.

use anyhow::Result;
use slipway_client::{ClientError, NewProject, Project};

use crate::args::ProjectsCommand;
use crate::commands::{Outcome, Session, all_pages, deploy_keys};
use crate::output::table;

/// Runs `slipway projects …`.
pub(crate) async fn run(session: &Session, command: Option<ProjectsCommand>) -> Result<Outcome> {
    match command.unwrap_or(ProjectsCommand::List) {
        ProjectsCommand::List => list(session).await?,
        ProjectsCommand::Show { project } => {
            let found = session.client.project(&project.namespace, &project.name);
            session.output.value(&found.await?, project_text)?;
        }
        ProjectsCommand::DeployKey { command } => deploy_keys::run(session, command).await?,
        ProjectsCommand::Create {
            project,
            repo,
            default_branch,
            image,
        } => {
            let new = NewProject {
                namespace: project.namespace,
                name: project.name,
                repo_url: repo,
                default_branch,
                image_repository: image,
            };
            session
                .output
                .value(&create(session, &new).await?, project_text)?;
        }
    }
    Ok(Outcome::Succeeded)
}

async fn list(session: &Session) -> Result<()> {
    let read = async |page| session.client.projects(&page).await;
    let projects = all_pages(read).await?;
    session.output.value(&projects, |projects| {
        let row = |one: &Project| {
            [
                format!("{}/{}", one.namespace, one.name),
                one.repo_url.clone(),
            ]
        };
        table(["PROJECT", "SOURCE"], projects.iter().map(row).collect())
    })
}

/// Creates a project, and its namespace if it does not exist.
async fn create(session: &Session, new: &NewProject) -> Result<Project> {
    let created = session.client.create_project(new).await;
    let Err(ClientError::Api { status: 404, .. }) = created else {
        return Ok(created?);
    };
    // Only the namespace can be missing: the project is what is being created.
    session.client.create_namespace(&new.namespace).await?;
    Ok(session.client.create_project(new).await?)
}

fn project_text(project: &Project) -> String {
    let limit = project.max_running.map(|limit| limit.to_string());
    let rows = vec![
        ["source".to_owned(), project.repo_url.clone()],
        ["default branch".to_owned(), project.default_branch.clone()],
        [
            "images".to_owned(),
            project
                .image_repository
                .clone()
                .unwrap_or_else(|| "in the registry of the farm".to_owned()),
        ],
        [
            "shared runners".to_owned(),
            yes_or_no(project.shared_runners),
        ],
        [
            "jobs at once".to_owned(),
            limit.unwrap_or_else(|| "no limit".to_owned()),
        ],
    ];
    let path = format!("{}/{}", project.namespace, project.name);
    table(["project", &path], rows)
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}
