//! What each command does.

pub(crate) mod builds;
pub(crate) mod deploy_keys;
pub(crate) mod directory;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod others;
pub(crate) mod password;
pub(crate) mod projects;
pub(crate) mod results;

use slipway_client::{Client, ClientError, Page, PageRequest};

use crate::config::Config;
use crate::output::Output;

/// How a command ended that could be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// As it should.
    Well,
    /// A build or a job that was followed did not succeed.
    BuildFailed,
}

impl Done {
    /// How following something ended that is now in `state`.
    fn of_state(state: &str) -> Self {
        if state == "succeeded" {
            Done::Well
        } else {
            Done::BuildFailed
        }
    }
}

/// A farm to talk to, and where to tell of it.
pub(crate) struct Session {
    client: Client,
    output: Output,
}

impl Session {
    /// Opens the farm that the login or the environment names.
    pub(crate) fn open(config: &Config, output: Output) -> anyhow::Result<Self> {
        let credentials = config.credentials()?;
        let client = Client::new(&credentials.url, &credentials.token)?;
        Ok(Self { client, output })
    }
}

/// All items of a list, page by page.
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
