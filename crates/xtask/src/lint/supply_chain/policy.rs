//! What `deny.toml` allows, forbids and accepts. Only the keys that are checked here are read.

use std::path::Path;

use anyhow::{Context as _, Result};
use chrono::NaiveDate;
use rustsec::{Version, VersionReq};
use serde::Deserialize;
use spdx::{Expression, Licensee};

/// The file with the rules, at the root of the repository.
pub(super) const FILE: &str = "deny.toml";

/// How the reason of an accepted advisory begins.
const REVIEW: &str = "review by ";

/// The rules for crates that others wrote.
#[derive(Debug)]
pub(super) struct Policy {
    allowed: Vec<Licensee>,
    exceptions: Vec<(String, Licensee)>,
    banned: Vec<Ban>,
    pub(super) accepted: Vec<Accepted>,
}

/// A crate that must not be compiled in.
#[derive(Debug)]
struct Ban {
    name: String,
    versions: VersionReq,
    reason: String,
}

/// An advisory that applies and is accepted for a time.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) id: String,
    /// The last day on which it is accepted.
    pub(super) review_by: NaiveDate,
}

#[derive(Deserialize)]
struct File {
    licenses: Licences,
    bans: Bans,
    advisories: Advisories,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    #[serde(default)]
    deny: Vec<Denied>,
}

#[derive(Deserialize)]
struct Denied {
    /// `NAME` or `NAME:VERSIONS`.
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
struct Advisories {
    #[serde(default)]
    ignore: Vec<Ignored>,
}

#[derive(Deserialize)]
struct Ignored {
    id: String,
    reason: String,
}

impl Policy {
    /// Reads a `deny.toml`.
    ///
    /// # Errors
    /// If the file cannot be read, or a licence, a version or a reason in it is invalid.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is invalid", path.display()))
    }

    /// Like [`Self::read`], from the text of the file.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text)?;
        let mut exceptions = Vec::new();
        for exception in file.licenses.exceptions {
            for licence in licensees(&exception.allow)? {
                exceptions.push((exception.name.clone(), licence));
            }
        }
        Ok(Self {
            allowed: licensees(&file.licenses.allow)?,
            exceptions,
            banned: file.bans.deny.into_iter().map(ban).collect::<Result<_>>()?,
            accepted: file
                .advisories
                .ignore
                .into_iter()
                .map(accepted)
                .collect::<Result<_>>()?,
        })
    }

    /// Whether the crate `name` may be used under the terms of `licence`.
    pub(super) fn allows(&self, name: &str, licence: &Expression) -> bool {
        licence.evaluate(|term| {
            let mut exceptions = self.exceptions.iter();
            self.allowed.iter().any(|allowed| allowed.satisfies(term))
                || exceptions.any(|(of, allowed)| of == name && allowed.satisfies(term))
        })
    }

    /// Why a version of a crate is banned, if it is.
    pub(super) fn ban_of(&self, name: &str, version: &Version) -> Option<&str> {
        let mut banned = self.banned.iter();
        banned
            .find(|ban| ban.name == name && ban.versions.matches(version))
            .map(|ban| ban.reason.as_str())
    }
}

fn licensees(names: &[String]) -> Result<Vec<Licensee>> {
    names
        .iter()
        .map(|name| Licensee::parse(name).with_context(|| format!("unknown licence {name}")))
        .collect()
}

fn ban(denied: Denied) -> Result<Ban> {
    let (name, versions) = denied.name.split_once(':').unwrap_or((&denied.name, "*"));
    let versions = VersionReq::parse(versions)
        .with_context(|| format!("`{}` has invalid versions", denied.name))?;
    Ok(Ban {
        name: name.to_owned(),
        versions,
        reason: denied.reason,
    })
}

fn accepted(ignored: Ignored) -> Result<Accepted> {
    let expected = || {
        format!(
            "the reason for {} must be `{REVIEW}YYYY-MM-DD: WHY`",
            ignored.id
        )
    };
    let (date, why) = ignored
        .reason
        .strip_prefix(REVIEW)
        .and_then(|rest| rest.split_once(": "))
        .with_context(expected)?;
    anyhow::ensure!(!why.trim().is_empty(), expected());
    Ok(Accepted {
        review_by: date.parse().with_context(expected)?,
        id: ignored.id,
    })
}

#[cfg(test)]
mod tests {
    use spdx::Expression;

    use super::Policy;

    const RULES: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0"]
        exceptions = [{ crate = "fuzzer", allow = ["NCSA"] }]
        [bans]
        deny = [{ crate = "h2:<0.4", reason = "old" }, { crate = "unsafe-tar", reason = "bad" }]
        [advisories]
    "#;

    #[test]
    fn a_licence_is_allowed_if_each_part_can_be_satisfied() {
        let policy = Policy::parse(RULES).unwrap();
        let allows = |name, text| policy.allows(name, &Expression::parse(text).unwrap());
        assert!(allows("a", "MIT"));
        assert!(allows("a", "GPL-3.0-only OR MIT"));
        assert!(!allows("a", "GPL-3.0-only"));
        assert!(!allows("a", "MIT AND GPL-3.0-only"));
        assert!(!allows("a", "(MIT OR Apache-2.0) AND NCSA"));
        assert!(allows("fuzzer", "(MIT OR Apache-2.0) AND NCSA"));
    }

    #[test]
    fn a_ban_may_be_limited_to_versions() {
        let policy = Policy::parse(RULES).unwrap();
        let ban_of = |name, version: &str| policy.ban_of(name, &version.parse().unwrap());
        assert_eq!(ban_of("h2", "0.3.27"), Some("old"));
        assert_eq!(ban_of("h2", "0.4.20"), None);
        assert_eq!(ban_of("unsafe-tar", "1.2.3"), Some("bad"));
    }

    #[test]
    fn an_advisory_is_accepted_only_with_a_date_and_a_reason() {
        for (reason, is_valid) in [
            ("review by 2026-12-31: not compiled", true),
            ("review by 2026-12-31: ", false),
            ("review by 2026-13-31: not compiled", false),
            ("not compiled", false),
        ] {
            let rules = format!(
                "{RULES}\nignore = [{{ id = \"RUSTSEC-2026-9001\", reason = \"{reason}\" }}]"
            );
            assert_eq!(Policy::parse(&rules).is_ok(), is_valid, "{reason}");
        }
    }
}
