//! The commands.

pub(crate) mod artifacts;
mod build_summary;
pub(crate) mod builds;
mod deploy_keys;
mod directory;
pub(crate) mod follow;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod password;
pub(crate) mod projects;
pub(crate) mod queue;
pub(crate) mod runners;
mod trace_printer;

use slipway_client::{Client, ClientError, Page, PageRequest};

use crate::config::Config;
use crate::output::Output;

/// The outcome of a command that did not fail itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    /// The followed build or job did not succeed.
    BuildFailed,
}

impl Outcome {
    /// The outcome of following a build or job that ended in `state`.
    fn of_state(state: &str) -> Self {
        if state == "succeeded" {
            Outcome::Succeeded
        } else {
            Outcome::BuildFailed
        }
    }
}

/// What every command but `login` needs: a client of the farm, and the output.
pub(crate) struct Session {
    client: Client,
    output: Output,
}

impl Session {
    /// Creates a client with the stored login or that of the environment. Sends nothing.
    pub(crate) fn open(config: &Config, output: Output) -> anyhow::Result<Self> {
        let credentials = config.credentials()?;
        let client = Client::new(&credentials.url, &credentials.token)?;
        Ok(Self { client, output })
    }
}

/// Reads all pages of a list.
async fn all_pages<T>(
    read: impl AsyncFn(PageRequest) -> Result<Page<T>, ClientError>,
) -> Result<Vec<T>, ClientError> {
    let (mut items, mut before) = (Vec::new(), None);
    loop {
        let limit = Some(100);
        let page = read(PageRequest { limit, before }).await?;
        items.extend(page.items);
        before = page.next;
        if before.is_none() {
            return Ok(items);
        }
    }
}
