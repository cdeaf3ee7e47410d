//! `slipway runners`.

use anyhow::Result;
use slipway_client::Runner;

use crate::commands::{Outcome, Session, all_pages};
use crate::output::{age, now, plain, table};

/// Lists the runners.
pub(crate) async fn list(session: &Session) -> Result<Outcome> {
    let read = async |page| session.client.runners(&page).await;
    let runners = all_pages(read).await?;
    session.output.value(&runners, |runners| {
        let row = |runner: &Runner| {
            let seen = runner.contact_at.map(|at| age(at, now()));
            [
                runner.id.to_string(),
                runner.description.clone(),
                state(runner).to_owned(),
                if runner.shared { "shared" } else { "projects" }.to_owned(),
                runner.tags.join(","),
                runner.version.clone().unwrap_or_default(),
                seen.unwrap_or_else(|| "never".to_owned()),
            ]
        };
        let heading = ["ID", "RUNNER", "STATE", "SERVES", "TAGS", "VERSION", "SEEN"];
        let mut text = table(heading, runners.iter().map(row).collect());
        for runner in runners {
            if let Some(why) = runner.unready.as_ref().filter(|_| runner.online) {
                let line = format!("Runner {} claims no jobs: {why}", runner.id);
                text.push_str(&format!("{}\n", plain(&line)));
            }
            if !runner.trust.is_empty() {
                let levels = runner.trust.join(", ");
                let line = format!("Runner {} is dedicated to builds of: {levels}", runner.id);
                text.push_str(&format!("{}\n", plain(&line)));
            }
            for note in &runner.notes {
                let line = format!("Runner {}: {note}", runner.id);
                text.push_str(&format!("{}\n", plain(&line)));
            }
        }
        text
    })?;
    Ok(Outcome::Succeeded)
}

fn state(runner: &Runner) -> &'static str {
    if runner.paused {
        "paused"
    } else if !runner.online {
        "offline"
    } else if runner.unready.is_some() {
        "unready"
    } else {
        "online"
    }
}
