//! Checks what others wrote: licences, origins, banned crates, and known vulnerabilities.
//!
//! The rules are in `deny.toml`, which cargo-deny reads as well. They are checked here because
//! compiling cargo-deny takes longer than all other checks together.

mod advisories;
mod crates;
mod policy;
mod yanked;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use rustsec::Lockfile;

use self::policy::Policy;
use super::{has, report};
use crate::root;
use crate::steps::{Steps, cargo, run as run_command};

/// The directory of the RustSec database, a checkout of <https://github.com/rustsec/advisory-db>.
const DATABASE: &str = "SLIPWAY_ADVISORY_DB";

/// Checks licences, banned crates, origins and advisories.
pub(crate) async fn check(steps: &mut Steps) {
    steps.run("licences", licences()).await;
    let has_cargo_deny = has("deny").await;
    if has_cargo_deny {
        let deny = cargo(&["deny", "check", "licenses", "bans", "sources"]);
        steps.run("cargo-deny", run_command(deny)).await;
    }
    const ADVISORIES: &str = "advisories";
    match database(std::env::var_os(DATABASE)) {
        Some(database) => _ = steps.run(ADVISORIES, known_advisories(database)).await,
        None if has_cargo_deny => advisories_of_cargo_deny(steps, ADVISORIES).await,
        None => steps.skip(
            ADVISORIES,
            &format!(
                "{DATABASE} does not name a RustSec database, and cargo-deny is not installed"
            ),
        ),
    }
}

/// The database that the environment names. An empty value counts as unset.
fn database(value: Option<OsString>) -> Option<PathBuf> {
    value.filter(|value| !value.is_empty()).map(PathBuf::from)
}

async fn licences() -> Result<()> {
    let policy = Policy::read(&root().join(policy::FILE))?;
    let mut findings = crates::check_origins(&lock_file()?);
    findings.extend(crates::check_packages(
        &crates::compiled().await?,
        &policy,
        root(),
    ));
    report(&findings)
}

async fn known_advisories(database: PathBuf) -> Result<()> {
    let policy = Policy::read(&root().join(policy::FILE))?;
    let lock = lock_file()?;
    let mut findings = advisories::check(&database, &lock, &policy, advisories::today())?;
    findings.extend(yanked::check(&lock));
    report(&findings)
}

async fn advisories_of_cargo_deny(steps: &mut Steps, name: &str) {
    let mut fetch = cargo(&["deny", "fetch", "db"]);
    fetch.stdout(Stdio::null()).stderr(Stdio::null());
    match run_command(fetch).await {
        Ok(()) => {
            let advisories = cargo(&["deny", "--offline", "check", "advisories"]);
            steps.run(name, run_command(advisories)).await;
        }
        Err(_) => steps.skip(
            name,
            &format!("the RustSec database is not reachable, and {DATABASE} is not set"),
        ),
    }
}

fn lock_file() -> Result<Lockfile> {
    let path = root().join("Cargo.lock");
    Lockfile::load(&path).with_context(|| format!("could not read {}", path.display()))
}
