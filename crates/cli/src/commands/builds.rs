//! `slipway build`, `builds`, `show`, `play`, `cancel` and `retry`.

use anyhow::{Result, bail};
use slipway_client::{Build, BuildFilter, Job, NewBuild, PageRequest};
use uuid::Uuid;

use crate::args::{self, BuildTarget, ProjectName, Target};
use crate::commands::{Outcome, Session, build_summary, directory, follow};
use crate::output::{age, now, table};

/// Builds a directory or a commit.
pub(crate) async fn build(session: &Session, args: args::Build) -> Result<Outcome> {
    match &args.build_target {
        BuildTarget::Directory(path) => {
            if args.git_ref.is_some() || args.sha.is_some() {
                bail!("--ref and --sha are for commits of a project, but this is a directory");
            }
            directory::build(session, path, args.pipeline, args.image).await
        }
        BuildTarget::Project(project) => {
            if args.image.has_directory_args() {
                bail!(
                    "{project} is a project, and its pipeline defines how it is built; to build the \
                     directory with this path, write ./{project}"
                );
            }
            let project = project.clone();
            build_commit(session, &project, args).await
        }
    }
}

/// Builds a commit, and follows the build with --follow.
async fn build_commit(
    session: &Session,
    project: &ProjectName,
    args: args::Build,
) -> Result<Outcome> {
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
        session.output.value(&build, build_text)?;
        return Ok(Outcome::Succeeded);
    }
    let sha: String = build.sha.chars().take(12).collect();
    let note = format!("Build {} of {} at {sha}", build.id, build.project);
    session.output.note(&note)?;
    follow::follow_build(session, build.id).await
}

/// Lists the builds of a project.
pub(crate) async fn list(session: &Session, args: args::Builds) -> Result<Outcome> {
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
    Ok(Outcome::Succeeded)
}

/// Shows a build with its jobs; in text output also with its images and slowest steps.
pub(crate) async fn show(session: &Session, id: Uuid) -> Result<Outcome> {
    let build = session.client.build(id).await?;
    let mut artifacts = Vec::new();
    if !session.output.is_json() {
        let succeeded = |job: &&Job| job.state == "succeeded" && !job.superseded;
        for job in build.jobs.iter().filter(succeeded) {
            let of_job = session.client.artifacts(job.id).await?.items;
            artifacts.extend(of_job.into_iter().map(|artifact| (job, artifact)));
        }
    }
    let text = |build: &Build| {
        build_text(build)
            + &build_summary::images(&artifacts)
            + &build_summary::steps(build)
            + &build_summary::cut_traces(build)
    };
    session.output.value(&build, text)?;
    Ok(Outcome::Succeeded)
}

/// Starts a manual job.
pub(crate) async fn play(session: &Session, id: i64) -> Result<Outcome> {
    let job = session.client.play_job(id).await?;
    session.output.value(&job, job_text)?;
    Ok(Outcome::Succeeded)
}

/// Cancels a job or a build.
pub(crate) async fn cancel(session: &Session, target: Target) -> Result<Outcome> {
    match target {
        Target::Build(id) => {
            let build = session.client.cancel_build(id).await?;
            session.output.value(&build, build_text)?;
        }
        Target::Job(id) => {
            let job = session.client.cancel_job(id).await?;
            session.output.value(&job, job_text)?;
        }
    }
    Ok(Outcome::Succeeded)
}

/// Retries a job, or the jobs of a build that did not succeed.
pub(crate) async fn retry(session: &Session, target: Target) -> Result<Outcome> {
    match target {
        Target::Build(id) => {
            let build = session.client.retry_build(id).await?;
            session.output.value(&build, build_text)?;
        }
        Target::Job(id) => {
            let job = session.client.retry_job(id).await?;
            session.output.value(&job, job_text)?;
        }
    }
    Ok(Outcome::Succeeded)
}

fn build_text(build: &Build) -> String {
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

fn job_text(job: &Job) -> String {
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
    [
        job.id.to_string(),
        job.name.clone(),
        job.attempt.to_string(),
        state,
        time.unwrap_or_default(),
        job.why().unwrap_or_default(),
    ]
}
