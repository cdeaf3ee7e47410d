//! Builds: made, listed, shown, called off, tried again.

use anyhow::{Result, bail};
use slipway_client::{Build, BuildFilter, Job, NewBuild, PageRequest};
use uuid::Uuid;

use crate::args::{self, ProjectName, Target, What};
use crate::commands::{Done, Session, directory, logs, results};
use crate::output::{age, now, table};

/// Builds a directory, or a commit.
pub(crate) async fn build(session: &Session, args: args::Build) -> Result<Done> {
    match &args.what {
        What::Directory(path) => {
            if args.git_ref.is_some() || args.sha.is_some() {
                bail!("--ref and --sha name a commit; a directory is built as it is");
            }
            directory::build(session, path, args.pipeline, args.image).await
        }
        What::Project(project) => {
            if args.image.is_asked_for() {
                bail!(
                    "{project} is a project, whose pipeline says how it is built; for a directory of that name write ./{project}"
                );
            }
            let project = project.clone();
            build_commit(session, &project, args).await
        }
    }
}

/// Builds a commit, and follows it when told to.
async fn build_commit(session: &Session, project: &ProjectName, args: args::Build) -> Result<Done> {
    let new = NewBuild {
        git_ref: args.git_ref,
        sha: args.sha,
        pipeline: args.pipeline,
    };
    let build = session
        .client
        .create_build(&project.namespace, &project.name, &new)
        .await?;
    if !args.follow {
        session.output.value(&build, described)?;
        return Ok(Done::Well);
    }
    let sha: String = build.sha.chars().take(12).collect();
    let note = format!("Build {} of {} at {sha}", build.id, build.project);
    session.output.note(&note)?;
    logs::follow_build(session, build.id).await
}

/// Lists a project's builds.
pub(crate) async fn list(session: &Session, args: args::Builds) -> Result<Done> {
    let filter = BuildFilter {
        state: args.state,
        git_ref: args.git_ref,
        ..BuildFilter::default()
    };
    let page = PageRequest {
        limit: Some(args.limit),
        before: None,
    };
    let project = &args.project;
    let builds = session
        .client
        .builds(&project.namespace, &project.name, &filter, &page)
        .await?;
    session.output.value(&builds.items, |builds| {
        let row = |build: &Build| {
            [
                format!("{} #{}", build.pipeline, build.number),
                build.state.clone(),
                build.git_ref.clone().unwrap_or_default(),
                build.sha.chars().take(8).collect(),
                age(build.created_at, now()),
                build.id.to_string(),
            ]
        };
        let heading = ["BUILD", "STATE", "REF", "SHA", "AGE", "ID"];
        table(heading, builds.iter().map(row).collect())
    })?;
    Ok(Done::Well)
}

/// Shows a build with its jobs, and to people its images and what took longest as well.
pub(crate) async fn show(session: &Session, id: Uuid) -> Result<Done> {
    let build = session.client.build(id).await?;
    let mut made = Vec::new();
    if !session.output.is_json() {
        let succeeded = |job: &&Job| job.state == "succeeded" && !job.superseded;
        for job in build.jobs.iter().filter(succeeded) {
            let artifacts = session.client.artifacts(job.id).await?.items;
            made.extend(artifacts.into_iter().map(|artifact| (job, artifact)));
        }
    }
    let text = |build: &Build| described(build) + &results::images(&made) + &results::steps(build);
    session.output.value(&build, text)?;
    Ok(Done::Well)
}

/// Calls off a job or a build.
pub(crate) async fn cancel(session: &Session, target: Target) -> Result<Done> {
    match target {
        Target::Build(id) => {
            let build = session.client.cancel_build(id).await?;
            session.output.value(&build, described)?;
        }
        Target::Job(id) => {
            let job = session.client.cancel_job(id).await?;
            session.output.value(&job, described_job)?;
        }
    }
    Ok(Done::Well)
}

/// Makes new attempts.
pub(crate) async fn retry(session: &Session, target: Target) -> Result<Done> {
    match target {
        Target::Build(id) => {
            let build = session.client.retry_build(id).await?;
            session.output.value(&build, described)?;
        }
        Target::Job(id) => {
            let job = session.client.retry_job(id).await?;
            session.output.value(&job, described_job)?;
        }
    }
    Ok(Done::Well)
}

fn described(build: &Build) -> String {
    let by = build.git_ref.as_deref().map(|name| format!(" ({name})"));
    let about = format!(
        "{} {} #{} is {}\nbuild {}\nsha   {}{}\n\n",
        build.project,
        build.pipeline,
        build.number,
        build.state,
        build.id,
        build.sha,
        by.unwrap_or_default(),
    );
    let rows = build.jobs.iter().map(job_row).collect();
    about + &table(["JOB", "NAME", "ATTEMPT", "STATE", "TIME", "WHY"], rows)
}

fn described_job(job: &Job) -> String {
    let heading = ["JOB", "NAME", "ATTEMPT", "STATE", "TIME", "WHY"];
    table(heading, vec![job_row(job)])
}

fn job_row(job: &Job) -> [String; 6] {
    let state = match &job.phase {
        Some(phase) => format!("{} ({phase})", job.state),
        None => job.state.clone(),
    };
    let time = job
        .started_at
        .map(|at| age(at, job.finished_at.unwrap_or_else(now)));
    let why = job.failure_message.as_ref().or(job.failure_reason.as_ref());
    [
        job.id.to_string(),
        job.name.clone(),
        job.attempt.to_string(),
        state,
        time.unwrap_or_default(),
        why.cloned().unwrap_or_default(),
    ]
}
