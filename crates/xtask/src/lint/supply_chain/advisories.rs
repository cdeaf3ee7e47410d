//! Advisories of the RustSec database that apply to `Cargo.lock`.

use std::path::Path;

use anyhow::{Context as _, Result};
use chrono::{NaiveDate, Utc};
use rustsec::advisory::Informational;
use rustsec::database::Query;
use rustsec::{Database, Lockfile, Vulnerability};

use super::policy::{Accepted, FILE, Policy};

/// Finds every advisory that applies to a locked crate and is not accepted.
///
/// Crates that are unmaintained or unsound count like vulnerable ones. An accepted advisory that is due
/// for review, or that no longer applies, is a finding as well.
///
/// # Errors
/// If `database` is not a readable copy of the RustSec database.
pub(super) fn check(
    database: &Path,
    lock: &Lockfile,
    policy: &Policy,
    today: NaiveDate,
) -> Result<Vec<String>> {
    let path = database.display();
    let database = Database::open(database)
        .with_context(|| format!("could not read the RustSec database in {path}"))?;
    anyhow::ensure!(
        database.iter().next().is_some(),
        "{path} has no advisories; is it a RustSec database?"
    );
    // Informational advisories are included by not asking for either kind.
    let query = Query::new()
        .collection(rustsec::Collection::Crates)
        .withdrawn(false);
    let found = database.query_vulnerabilities(lock, &query);
    println!(
        "{} crates, {} advisories, {} of them apply",
        lock.packages.len(),
        database.iter().count(),
        found.len()
    );

    let mut findings = Vec::new();
    for vulnerability in &found {
        let id = vulnerability.advisory.id.as_str();
        match policy.accepted.iter().find(|accepted| accepted.id == id) {
            None => findings.push(describe(vulnerability)),
            Some(Accepted { review_by, .. }) if *review_by < today => findings.push(format!(
                "{}; accepted in {FILE} until {review_by}: review it",
                describe(vulnerability)
            )),
            Some(_) => {}
        }
    }
    for accepted in &policy.accepted {
        let mut applying = found.iter().map(|found| found.advisory.id.as_str());
        if !applying.any(|id| id == accepted.id) {
            let id = &accepted.id;
            findings.push(format!(
                "{id} does not apply any more: remove it from {FILE}"
            ));
        }
    }
    Ok(findings)
}

/// The crate, what is wrong with it, and which versions are not affected.
fn describe(found: &Vulnerability) -> String {
    let advisory = &found.advisory;
    let kind = advisory
        .informational
        .as_ref()
        .map_or("vulnerable", Informational::as_str);
    let patched: Vec<String> = found
        .versions
        .patched()
        .iter()
        .map(ToString::to_string)
        .collect();
    let solution = if patched.is_empty() {
        "no version is patched".to_owned()
    } else {
        format!("patched: {}", patched.join(" or "))
    };
    format!(
        "{} {} is {kind}: {}: {}; {solution}",
        found.package.name, found.package.version, advisory.id, advisory.title
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "a lint has no `Clock`; its rules take the date as an argument"
)]
pub(super) fn today() -> NaiveDate {
    Utc::now().date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four advisories: against `parser` before 1.2.0, one that was withdrawn, and two informational ones.
    const DATABASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/advisory-db");

    fn findings(locked: &[(&str, &str)], accepted: &str) -> Vec<String> {
        let mut lock = "version = 4\n".to_owned();
        for (name, version) in locked {
            lock.push_str(&format!(
                "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\
                 source = \"registry+https://github.com/rust-lang/crates.io-index\"\n"
            ));
        }
        let policy = Policy::parse(&format!(
            "licenses.allow = []\n[bans]\n[advisories]\nignore = [{accepted}]"
        ));
        let today = NaiveDate::from_ymd_opt(2026, 11, 30).unwrap();
        check(
            Path::new(DATABASE),
            &lock.parse().unwrap(),
            &policy.unwrap(),
            today,
        )
        .unwrap()
    }

    #[test]
    fn a_vulnerable_version_is_refused_and_named() {
        assert_eq!(
            findings(&[("parser", "1.1.9"), ("other", "1.0.0")], ""),
            [
                "parser 1.1.9 is vulnerable: RUSTSEC-2026-9001: Overflow in lengths; patched: >=1.2.0"
            ]
        );
    }

    #[test]
    fn a_patched_version_and_a_withdrawn_advisory_pass() {
        assert!(findings(&[("parser", "1.2.0"), ("withdrawn", "1.0.0")], "").is_empty());
    }

    #[test]
    fn unmaintained_and_unsound_crates_are_refused() {
        assert_eq!(
            findings(&[("forgotten", "3.0.0"), ("transmuter", "0.1.0")], ""),
            [
                "forgotten 3.0.0 is unmaintained: RUSTSEC-2026-9003: The author gave up; no version is patched",
                "transmuter 0.1.0 is unsound: RUSTSEC-2026-9004: Reads past the end; no version is patched",
            ]
        );
    }

    #[test]
    fn an_accepted_advisory_passes_until_its_review() {
        let locked = [("parser", "1.0.0")];
        let accepted = |date| {
            format!("{{ id = \"RUSTSEC-2026-9001\", reason = \"review by {date}: not compiled\" }}")
        };
        assert!(findings(&locked, &accepted("2026-11-30")).is_empty());
        assert_eq!(
            findings(&locked, &accepted("2026-11-29")),
            [
                "parser 1.0.0 is vulnerable: RUSTSEC-2026-9001: Overflow in lengths; patched: >=1.2.0; \
                 accepted in deny.toml until 2026-11-29: review it"
            ]
        );
    }

    #[test]
    fn an_accepted_advisory_that_does_not_apply_is_reported() {
        let accepted = "{ id = \"RUSTSEC-2026-9001\", reason = \"review by 2027-01-01: later\" }";
        assert_eq!(
            findings(&[("parser", "1.2.0")], accepted),
            ["RUSTSEC-2026-9001 does not apply any more: remove it from deny.toml"]
        );
    }

    #[test]
    fn a_directory_without_advisories_is_an_error() {
        let empty = tempfile::tempdir().unwrap();
        let policy = Policy::parse("licenses.allow = []\n[bans]\n[advisories]").unwrap();
        let lock = "version = 4\n".parse().unwrap();
        let today = NaiveDate::default();
        assert!(check(empty.path(), &lock, &policy, today).is_err());
        std::fs::create_dir(empty.path().join("crates")).unwrap();
        assert!(check(empty.path(), &lock, &policy, today).is_err());
    }
}
