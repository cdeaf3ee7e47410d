//! How an image was made: a statement of the in-toto framework with SLSA's provenance in it.
//!
//! See <https://slsa.dev/spec/v1.0/provenance>.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use slipway_domain::ImageBuild;

use crate::Subject;

/// What kind of build this is; `docs/attestations.md` says what its parameters mean.
pub const BUILD_TYPE: &str = "urn:slipway:image-build:v1";

/// A commit that an image is made from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The address of the repository, without a login.
    pub url: &'a str,
    /// The commit's id.
    pub sha: &'a str,
    /// The branch or tag that was asked for.
    pub git_ref: &'a str,
}

/// An image that another is built on.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its digest, where it is known.
    pub digest: Option<&'a str>,
}

/// All that is known of the making of an image.
#[derive(Clone, Debug)]
pub struct Making<'a> {
    /// The image.
    pub image: Subject<'a>,
    /// What was asked for.
    pub spec: &'a ImageBuild,
    /// What it was made from, when that was a commit.
    pub source: Option<Source<'a>>,
    /// What it was built on.
    pub bases: Vec<Base<'a>>,
    /// Who made it: the address of the runner at its coordinator.
    pub builder: &'a str,
    /// Which build and job it was.
    pub invocation: &'a str,
    /// When the work began.
    pub started: DateTime<Utc>,
    /// When the image was in the registry.
    pub finished: DateTime<Utc>,
}

/// The statement.
pub fn provenance(making: &Making<'_>) -> Value {
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut external = json!({ "spec": making.spec });
    let mut dependencies = Vec::new();
    if let Some(source) = &making.source {
        if let Some(members) = external.as_object_mut() {
            members.insert("ref".to_owned(), source.git_ref.into());
        }
        // SHA-256 repositories have longer ids.
        let algorithm = match source.sha.len() {
            40 => "gitCommit",
            _ => "gitCommitSha256",
        };
        dependencies.push(json!({
            "uri": format!("git+{}", source.url),
            "digest": { algorithm: source.sha },
        }));
    }
    for base in &making.bases {
        let uri = format!("docker://{}", base.name);
        let digest = base.digest.and_then(|digest| digest.split_once(':'));
        dependencies.push(match digest {
            Some((algorithm, value)) => json!({ "uri": uri, "digest": { algorithm: value } }),
            None => json!({ "uri": uri }),
        });
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": making.image.name,
            "digest": { "sha256": making.image.hex() },
        }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": external,
                "internalParameters": {},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": { "id": making.builder },
                "metadata": {
                    "invocationId": making.invocation,
                    "startedOn": time(making.started),
                    "finishedOn": time(making.finished),
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_what_was_made_from_what_and_by_whom() {
        let spec = ImageBuild {
            target: Some("final".to_owned()),
            ..ImageBuild::default()
        };
        let sha = "9b1d6c0c4f1f4f0e8f1b2c3d4e5f60718293a4b5";
        let making = Making {
            image: Subject {
                name: "r.example/acme/api",
                digest: "sha256:ab",
            },
            spec: &spec,
            source: Some(Source {
                url: "https://git.example/acme/api",
                sha,
                git_ref: "main",
            }),
            bases: vec![
                Base {
                    name: "alpine:3",
                    digest: Some("sha256:cd"),
                },
                Base {
                    name: "other",
                    digest: None,
                },
            ],
            builder: "https://slipway.example/v1/runners/7",
            invocation: "b/1",
            started: DateTime::UNIX_EPOCH,
            finished: DateTime::UNIX_EPOCH,
        };
        let statement = provenance(&making);
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
        assert_eq!(
            statement["subject"],
            json!([{"name": "r.example/acme/api", "digest": {"sha256": "ab"}}])
        );
        let definition = &statement["predicate"]["buildDefinition"];
        assert_eq!(definition["buildType"], BUILD_TYPE);
        assert_eq!(definition["externalParameters"]["spec"]["target"], "final");
        assert_eq!(definition["externalParameters"]["ref"], "main");
        assert_eq!(
            definition["resolvedDependencies"],
            json!([
                {"uri": "git+https://git.example/acme/api", "digest": {"gitCommit": sha}},
                {"uri": "docker://alpine:3", "digest": {"sha256": "cd"}},
                {"uri": "docker://other"},
            ])
        );
        let details = &statement["predicate"]["runDetails"];
        assert_eq!(
            details["builder"]["id"],
            "https://slipway.example/v1/runners/7"
        );
        assert_eq!(details["metadata"]["invocationId"], "b/1");
        assert_eq!(details["metadata"]["startedOn"], "1970-01-01T00:00:00Z");
    }
}
