//! Compares what the farm has at the end with what clients sent.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ledger::{Ledger, Sent};
use super::load::read_build;
use crate::trials::http::Http;

/// Time for the last builds to end: jobs that are lost wait for their leases.
const DRAIN: Duration = Duration::from_secs(120);

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compared {
    pub(super) traces: usize,
    pub(super) trace_bytes: usize,
    pub(super) archives: usize,
    pub(super) events: usize,
}

/// Waits until every acknowledged build has ended.
pub(super) async fn until_all_ended(http: &Http, ledger: &Ledger) -> Result<()> {
    let start = Instant::now();
    let builds = ledger.builds.borrow().clone();
    for (build, _) in &builds {
        loop {
            let shown = http.get(&format!("/v1/builds/{build}")).await?.json();
            let state = shown["state"].as_str().unwrap_or_default();
            if !["pending", "running"].contains(&state) {
                break;
            }
            ensure!(
                start.elapsed() < DRAIN,
                "build {build} does not end: {shown}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Reads every acknowledged build, and everything that was sent for its jobs.
pub(super) async fn compare(http: &Http, ledger: &Ledger) -> Result<Compared> {
    let mut compared = Compared::default();
    let builds = ledger.builds.borrow().clone();
    let mut shown = BTreeSet::new();
    for (build, lines) in &builds {
        for job in read_build(http, ledger, build).await? {
            let id = job["id"].as_i64().unwrap_or_default();
            shown.insert(id);
            let sent = ledger.jobs.borrow().get(&id).cloned();
            match sent {
                Some(sent) => compare_job(http, ledger, id, &sent, &mut compared).await?,
                None if job["state"] == "succeeded" => {
                    compare_lines(http, ledger, id, *lines, &mut compared).await?;
                }
                // Nothing of it was acknowledged to a client that records.
                None => {}
            }
        }
    }
    // A build whose creation was not acknowledged may have jobs that were claimed.
    let claimed: Vec<i64> = ledger.jobs.borrow().keys().copied().collect();
    for id in claimed.into_iter().filter(|id| !shown.contains(id)) {
        let sent = ledger.jobs.borrow().get(&id).cloned().unwrap_or_default();
        compare_job(http, ledger, id, &sent, &mut compared).await?;
    }
    let events = ledger.history.events();
    compared.events = events.len();
    for violation in slipway_history::check(&events) {
        ledger.problem(violation.to_string());
    }
    Ok(compared)
}

async fn trace_of(http: &Http, ledger: &Ledger, job: i64) -> Result<Option<Vec<u8>>> {
    let reply = http.get(&format!("/v1/jobs/{job}/trace")).await?;
    if reply.status == 200 {
        return Ok(Some(reply.body.to_vec()));
    }
    ledger.problem(format!("the trace of job {job} is lost: {}", reply.status));
    Ok(None)
}

async fn compare_job(
    http: &Http,
    ledger: &Ledger,
    job: i64,
    sent: &Sent,
    compared: &mut Compared,
) -> Result<()> {
    if let Some(stored) = trace_of(http, ledger, job).await? {
        compared.traces += 1;
        compared.trace_bytes += stored.len();
        let least = if sent.result.is_some() {
            sent.trace.len()
        } else {
            sent.acknowledged
        };
        if stored.len() < least || !sent.trace.starts_with(&stored) {
            ledger.problem(format!(
                "the trace of job {job} differs: {} bytes were sent, {least} must be stored, {} are",
                sent.trace.len(),
                stored.len()
            ));
        }
    }
    let Some(acknowledged) = sent.archive else {
        return Ok(());
    };
    let list = http.get(&format!("/v1/jobs/{job}/artifacts")).await?.json();
    let archive = list["items"].as_array().and_then(|items| {
        let mut archives = items.iter().filter(|item| item["kind"] == "archive");
        archives.next().and_then(|item| item["id"].as_i64())
    });
    let Some(id) = archive else {
        ledger.problem(format!("the archive of job {job} is lost: {list}"));
        return Ok(());
    };
    let reply = http.get(&format!("/v1/artifacts/{id}/content")).await?;
    compared.archives += 1;
    // A later archive may be stored although its acknowledgement was lost.
    let expected = sent.archives.get(acknowledged..).unwrap_or_default();
    if reply.status != 200 || !expected.iter().any(|archive| archive[..] == reply.body[..]) {
        ledger.problem(format!(
            "the archive of job {job} differs: status {}, {} bytes",
            reply.status,
            reply.body.len()
        ));
    }
    Ok(())
}

/// Compares the trace of a job that a runner of ours ran with the lines that it writes.
async fn compare_lines(
    http: &Http,
    ledger: &Ledger,
    job: i64,
    lines: u32,
    compared: &mut Compared,
) -> Result<()> {
    let Some(stored) = trace_of(http, ledger, job).await? else {
        return Ok(());
    };
    compared.traces += 1;
    compared.trace_bytes += stored.len();
    let stored = String::from_utf8_lossy(&stored);
    let stored = stored.lines().filter(|line| line.starts_with("line "));
    let expected = (1..=lines).map(|number| format!("line {number:06}"));
    if !stored.eq(expected) {
        ledger.problem(format!(
            "the trace of job {job} of a runner process differs"
        ));
    }
    Ok(())
}
