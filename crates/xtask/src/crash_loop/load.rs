//! People: they create builds, cancel jobs, and look at both.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use slipway_history::{Action, Answer, State};

use super::ledger::Ledger;
use crate::trials::http::Http;
use crate::trials::random::Random;

/// The projects, with the number of lines that a runner of ours writes for their jobs.
const PROJECTS: [(&str, u32); 2] = [("small", 20), ("large", 2000)];
const SHA: &str = "9b1d6c0c4f1f4f0e8f1b2c3d4e5f60718293a4b5";
/// Builds are not created while more jobs are pending.
const MAX_PENDING: i64 = 12;
/// The client number of people in the history.
pub(super) const PEOPLE: u32 = 0;

/// Creates the projects.
pub(super) async fn create_projects(http: &Http) -> Result<()> {
    let create = async |method: Method, path: &str, body: Value| {
        let reply = http.send(method, path, &body).await?;
        let is_created = (200..300).contains(&reply.status);
        ensure!(is_created, "could not create {path}: {reply:?}");
        Ok(())
    };
    create(Method::POST, "/v1/namespaces", json!({"name": "acme"})).await?;
    for (name, lines) in PROJECTS {
        let project =
            json!({"namespace": "acme", "name": name, "repo_url": "http://127.0.0.1:1/none.git"});
        create(Method::POST, "/v1/projects", project).await?;
        let path = format!("/v1/projects/acme/{name}/variables/SCRIPT_LINES");
        let variable = json!({"value": lines.to_string(), "public": true});
        create(Method::PUT, &path, variable).await?;
    }
    Ok(())
}

/// Creates builds until the end.
pub(super) async fn create_builds(http: &Http, ledger: &Ledger, mut random: Random) -> Result<()> {
    while !ledger.draining.get() {
        tokio::time::sleep(random.pause(10, 90)).await;
        let queue = http.get("/v1/queue").await?.json();
        let lines = queue["items"].as_array().cloned().unwrap_or_default();
        let pending: i64 = lines.iter().filter_map(|line| line["count"].as_i64()).sum();
        if pending > MAX_PENDING {
            continue;
        }
        let (name, lines) = PROJECTS[random.below(PROJECTS.len())];
        let path = format!("/v1/projects/acme/{name}/builds");
        let reply = http.send(Method::POST, &path, &json!({"sha": SHA})).await?;
        match (reply.status, reply.json()["id"].as_str()) {
            (201, Some(id)) => ledger.builds.borrow_mut().push((id.to_owned(), lines)),
            _ => ledger.problem(format!("a build was not created: {reply:?}")),
        }
    }
    Ok(())
}

/// Reads builds and cancels jobs until the end.
pub(super) async fn watch_builds(http: &Http, ledger: &Ledger, mut random: Random) -> Result<()> {
    while !ledger.ending.get() {
        tokio::time::sleep(random.pause(20, 120)).await;
        let recent = {
            let builds = ledger.builds.borrow();
            let first = builds.len().saturating_sub(20);
            let chosen = first + random.below((builds.len() - first).max(1));
            builds.get(chosen).map(|(id, _)| id.clone())
        };
        let Some(build) = recent else { continue };
        let jobs = read_build(http, ledger, &build).await?;
        let running = jobs.iter().rev().find(|job| job["state"] == "running");
        if let Some(job) = running
            && !ledger.draining.get()
            && random.percent(15)
        {
            cancel(http, ledger, job["id"].as_i64().unwrap_or_default()).await?;
        }
    }
    Ok(())
}

/// Reads an acknowledged build, and records the states of its jobs.
pub(super) async fn read_build(http: &Http, ledger: &Ledger, build: &str) -> Result<Vec<Value>> {
    let from = ledger.history.now();
    let reply = http.get(&format!("/v1/builds/{build}")).await?;
    let shown = reply.json();
    let Some(jobs) = shown["jobs"].as_array().filter(|_| reply.status == 200) else {
        ledger.problem(format!("build {build} is lost: {reply:?}"));
        return Ok(Vec::new());
    };
    for job in jobs {
        let state = job["state"].as_str().and_then(State::from_name);
        let (Some(id), Some(state)) = (job["id"].as_i64(), state) else {
            ledger.problem(format!("a job of build {build} is invalid: {job}"));
            continue;
        };
        let retries = job["retries"].as_i64();
        let read = Action::Read { state, retries };
        ledger.history.record(PEOPLE, id, from, read);
    }
    Ok(jobs.clone())
}

async fn cancel(http: &Http, ledger: &Ledger, job: i64) -> Result<()> {
    let from = ledger.history.now();
    let path = format!("/v1/jobs/{job}/cancel");
    let reply = http.send(Method::POST, &path, &json!({})).await?;
    let action = match reply.status {
        200 => Action::Cancel(Answer::Accepted),
        409 if reply.repeated => Action::Cancel(Answer::Unknown),
        409 => Action::Cancel(Answer::Refused),
        404 => Action::Missing,
        _ => {
            ledger.problem(format!("cancel of job {job} was answered {reply:?}"));
            Action::Cancel(Answer::Unknown)
        }
    };
    ledger.history.record(PEOPLE, job, from, action);
    Ok(())
}
