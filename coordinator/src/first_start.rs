//! The first start with an empty database: creates an administrator and a registration token.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use slipway_domain::{AccessToken, RegistrationToken};
use slipway_farm::Farm;

/// Creates what an empty farm needs. Generated tokens are written to files in `data_dir` with mode 0600.
pub(crate) async fn prepare(farm: &Farm, data_dir: &Path) -> anyhow::Result<()> {
    let admin = given("SLIPWAY_ADMIN_TOKEN")?.map(AccessToken::presented);
    let registration = given("SLIPWAY_REGISTRATION_TOKEN")?.map(RegistrationToken::presented);
    let created = farm
        .bootstrap(admin, registration)
        .await
        .context("could not create the first tokens")?;
    if let Some(token) = created.admin_token {
        write_secret(&data_dir.join("admin-token"), token.expose())?;
    }
    if let Some(token) = created.registration_token {
        write_secret(&data_dir.join("registration-token"), token.expose())?;
    }
    Ok(())
}

/// The token in a variable, or in the file that the variable with the suffix `_FILE` names.
fn given(name: &str) -> anyhow::Result<Option<String>> {
    if let Some(token) = variable(name) {
        return Ok(Some(token));
    }
    let Some(path) = variable(&format!("{name}_FILE")) else {
        return Ok(None);
    };
    let token = std::fs::read_to_string(&path).with_context(|| format!("could not read {path}"))?;
    let token = token.trim();
    anyhow::ensure!(!token.is_empty(), "{path} is empty");
    Ok(Some(token.to_owned()))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
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
    write().with_context(|| format!("could not write {}", path.display()))?;
    tracing::info!("Wrote a new token to {}", path.display());
    Ok(())
}
