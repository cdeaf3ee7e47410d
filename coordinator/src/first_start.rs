//! The first start on an empty database: an administrator and a registration token.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use slipway_domain::{AccessToken, RegistrationToken};
use slipway_farm::Farm;

/// Makes what an empty farm needs. Tokens that were not given are written to files in `data_dir`,
/// which only their owner can read.
pub(crate) async fn prepare(farm: &Farm, data_dir: &Path) -> anyhow::Result<()> {
    let admin = given("SLIPWAY_ADMIN_TOKEN").map(AccessToken::presented);
    let registration = given("SLIPWAY_REGISTRATION_TOKEN").map(RegistrationToken::presented);
    let made = farm
        .bootstrap(admin, registration)
        .await
        .context("the first tokens were not made")?;
    if let Some(token) = made.admin_token {
        write_secret(&data_dir.join("admin-token"), token.expose())?;
    }
    if let Some(token) = made.registration_token {
        write_secret(&data_dir.join("registration-token"), token.expose())?;
    }
    Ok(())
}

fn given(variable: &str) -> Option<String> {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
}

fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        writeln!(file, "{secret}")?;
        file.sync_all()
    };
    write().with_context(|| format!("{} could not be written", path.display()))?;
    tracing::info!("A new token is in {}", path.display());
    Ok(())
}
