//! `slipway queue`.

use anyhow::Result;
use slipway_client::QueueLine;

use crate::commands::{Outcome, Session};
use crate::output::{age, now, table};

/// Lists pending jobs, and why they are pending.
pub(crate) async fn list(session: &Session) -> Result<Outcome> {
    let lines = session.client.queue().await?.items;
    session.output.value(&lines, |lines| {
        if lines.is_empty() {
            return "No job is pending.".to_owned();
        }
        let row = |line: &QueueLine| {
            let oldest = line.oldest.map(|at| age(at, now()));
            [
                line.project.clone(),
                line.tags.join(","),
                line.count.to_string(),
                oldest.unwrap_or_default(),
                line.reason.message.clone(),
            ]
        };
        let heading = ["PROJECT", "TAGS", "JOBS", "OLDEST", "WHY"];
        table(heading, lines.iter().map(row).collect())
    })?;
    Ok(Outcome::Succeeded)
}
