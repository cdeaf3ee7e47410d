//! Licences, banned crates and origins.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rustsec::{Lockfile, Version};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use super::policy::{FILE, Policy};
use crate::process::output_of;
use crate::steps::cargo;

/// What the farm runs on. Crates for other systems are locked and never compiled.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// A crate that is compiled, as `cargo metadata` describes it.
#[derive(Debug, Deserialize)]
pub(super) struct Package {
    name: String,
    version: Version,
    license: Option<String>,
    /// `None` for a crate in a local directory.
    source: Option<String>,
    manifest_path: PathBuf,
    #[serde(default)]
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// The versions that are allowed, or `*`.
    req: String,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// The crates that any feature brings in.
///
/// # Errors
/// If cargo fails, for example because `Cargo.lock` is outdated.
pub(super) async fn compiled() -> Result<Vec<Package>> {
    let mut metadata = cargo(&[
        "metadata",
        "--format-version=1",
        "--locked",
        "--all-features",
    ]);
    for target in TARGETS {
        metadata.args(["--filter-platform", target]);
    }
    let metadata: Metadata = serde_json::from_str(&output_of(&mut metadata).await?)?;
    Ok(metadata.packages)
}

/// Finds banned crates and crates whose licence is not allowed. Of local crates, finds those outside
/// `root`, and those that accept any version of another crate.
pub(super) fn check_packages(packages: &[Package], policy: &Policy, root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let Package { name, version, .. } = package;
        if let Some(reason) = policy.ban_of(name, version) {
            findings.push(format!("{name} {version} is banned in {FILE}: {reason}"));
        }
        if package.source.is_none() {
            if !package.manifest_path.starts_with(root) {
                let place = package.manifest_path.display();
                findings.push(format!(
                    "{name} {version} is outside the repository, at {place}"
                ));
            }
            let accepts_any =
                |dependency: &&Dependency| dependency.source.is_some() && dependency.req == "*";
            for dependency in package.dependencies.iter().filter(accepts_any) {
                let dependency = &dependency.name;
                findings.push(format!(
                    "{name} {version} accepts any version of {dependency}"
                ));
            }
        }
        let Some(licence) = &package.license else {
            findings.push(format!("{name} {version} does not name its licence"));
            continue;
        };
        match Expression::parse_mode(licence, ParseMode::LAX) {
            Ok(parsed) if policy.allows(name, &parsed) => {}
            Ok(_) => findings.push(format!(
                "{name} {version} has the licence {licence}, which {FILE} does not allow"
            )),
            Err(_) => findings.push(format!(
                "{name} {version} has the licence {licence}, which is not an SPDX expression"
            )),
        }
    }
    findings
}

/// Finds locked crates that are from another registry than crates.io, or have no checksum.
///
/// `Cargo.lock` does not say where local crates are; [`check_packages`] checks that.
pub(super) fn check_origins(lock: &Lockfile) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &lock.packages {
        let (name, version) = (&package.name, &package.version);
        let Some(source) = &package.source else {
            continue;
        };
        if !source.is_default_registry() {
            findings.push(format!(
                "{name} {version} is from {source}; only crates.io is allowed"
            ));
        } else if package.checksum.is_none() {
            findings.push(format!("{name} {version} has no checksum in Cargo.lock"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Metadata, check_origins, check_packages};
    use crate::lint::supply_chain::policy::Policy;

    #[test]
    fn banned_crates_and_licences_that_are_not_allowed_are_refused() {
        let policy = Policy::parse(
            r#"
            licenses.allow = ["MIT"]
            bans.deny = [{ crate = "h2:<0.4", reason = "old" }]
            [advisories]
            "#,
        )
        .unwrap();
        let metadata: Metadata = serde_json::from_str(
            r#"{"packages": [
                {"name": "good", "version": "1.0.0", "license": "MIT/Apache-2.0", "source": "registry+x", "manifest_path": "/c/Cargo.toml"},
                {"name": "copyleft", "version": "1.0.0", "license": "GPL-3.0-only", "source": "registry+x", "manifest_path": "/c/Cargo.toml"},
                {"name": "silent", "version": "1.0.0", "license": null, "source": "registry+x", "manifest_path": "/c/Cargo.toml"},
                {"name": "invented", "version": "1.0.0", "license": "be nice", "source": "registry+x", "manifest_path": "/c/Cargo.toml"},
                {"name": "h2", "version": "0.3.27", "license": "MIT", "source": "registry+x", "manifest_path": "/c/Cargo.toml"},
                {"name": "ours", "version": "0.1.0", "license": "MIT", "source": null, "manifest_path": "/repo/a/Cargo.toml", "dependencies": [
                    {"name": "good", "req": "*", "source": "registry+x"},
                    {"name": "copyleft", "req": "^1", "source": "registry+x"},
                    {"name": "beside", "req": "*", "source": null}
                ]},
                {"name": "beside", "version": "0.1.0", "license": "MIT", "source": null, "manifest_path": "/beside/Cargo.toml"}
            ]}"#,
        )
        .unwrap();
        assert_eq!(
            check_packages(&metadata.packages, &policy, Path::new("/repo")),
            [
                "copyleft 1.0.0 has the licence GPL-3.0-only, which deny.toml does not allow",
                "silent 1.0.0 does not name its licence",
                "invented 1.0.0 has the licence be nice, which is not an SPDX expression",
                "h2 0.3.27 is banned in deny.toml: old",
                "ours 0.1.0 accepts any version of good",
                "beside 0.1.0 is outside the repository, at /beside/Cargo.toml",
            ]
        );
    }

    #[test]
    fn only_crates_io_is_an_allowed_origin() {
        let lock = r#"
            version = 4
            [[package]]
            name = "ours"
            version = "0.1.0"
            [[package]]
            name = "good"
            version = "1.0.0"
            source = "registry+https://github.com/rust-lang/crates.io-index"
            checksum = "0000000000000000000000000000000000000000000000000000000000000000"
            [[package]]
            name = "unchecked"
            version = "1.0.0"
            source = "registry+https://github.com/rust-lang/crates.io-index"
            [[package]]
            name = "elsewhere"
            version = "1.0.0"
            source = "registry+https://crates.example.com/index"
            checksum = "0000000000000000000000000000000000000000000000000000000000000000"
            [[package]]
            name = "cloned"
            version = "1.0.0"
            source = "git+https://git.example.com/cloned#0000000000000000000000000000000000000000"
        "#;
        assert_eq!(
            check_origins(&lock.parse().unwrap()),
            [
                "unchecked 1.0.0 has no checksum in Cargo.lock",
                "elsewhere 1.0.0 is from registry+https://crates.example.com/index; only crates.io is allowed",
                "cloned 1.0.0 is from git+https://git.example.com/cloned#0000000000000000000000000000000000000000; only crates.io is allowed",
            ]
        );
    }
}
