//! How an image was built: an in-toto statement with an SLSA provenance predicate.
//!
//! See <https://slsa.dev/spec/v1.0/provenance>.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use slipway_domain::ImageBuild;

use crate::document::Subject;

/// The type of the build; `docs/attestations.md` defines its parameters.
pub const BUILD_TYPE: &str = "urn:slipway:image-build:v1";
/// The length of a commit id in a repository that uses SHA-1.
const SHA1_HEX_LENGTH: usize = 40;

/// The commit that an image is built from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The URL of the repository, without credentials.
    pub url: &'a str,
    pub sha: &'a str,
    /// The requested branch or tag.
    pub git_ref: &'a str,
}

/// A base image.
#[derive(Clone, Copy, Debug)]
pub struct ResolvedBase<'a> {
    pub name: &'a str,
    /// `None` if unknown.
    pub digest: Option<&'a str>,
}

/// What is known about how an image was built.
#[derive(Clone, Debug)]
pub struct BuildFacts<'a> {
    pub image: Subject<'a>,
    pub spec: &'a ImageBuild,
    /// `None` if the image was not built from a commit.
    pub source: Option<Source<'a>>,
    pub bases: Vec<ResolvedBase<'a>>,
    /// The URL of the runner at its coordinator.
    pub builder: &'a str,
    /// The build and the job, as `BUILD/JOB`.
    pub invocation: &'a str,
    pub started: DateTime<Utc>,
    /// When the registry had the image.
    pub finished: DateTime<Utc>,
}

/// Writes the provenance statement.
pub fn provenance(facts: &BuildFacts<'_>) -> Value {
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut external = json!({ "spec": facts.spec });
    let mut dependencies = Vec::new();
    if let Some(source) = &facts.source {
        if let Some(members) = external.as_object_mut() {
            members.insert("ref".to_owned(), source.git_ref.into());
        }
        // Repositories that use SHA-256 have longer commit ids.
        let algorithm = if source.sha.len() == SHA1_HEX_LENGTH {
            "gitCommit"
        } else {
            "gitCommitSha256"
        };
        dependencies.push(json!({
            "uri": format!("git+{}", source.url),
            "digest": { algorithm: source.sha },
        }));
    }
    for base in &facts.bases {
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
            "name": facts.image.name,
            "digest": { "sha256": facts.image.hex_digest() },
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
                "builder": { "id": facts.builder },
                "metadata": {
                    "invocationId": facts.invocation,
                    "startedOn": time(facts.started),
                    "finishedOn": time(facts.finished),
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_the_image_its_inputs_and_its_builder() {
        let spec = ImageBuild {
            target: Some("final".to_owned()),
            ..ImageBuild::default()
        };
        let sha = "9b1d6c0c4f1f4f0e8f1b2c3d4e5f60718293a4b5";
        let facts = BuildFacts {
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
                ResolvedBase {
                    name: "alpine:3",
                    digest: Some("sha256:cd"),
                },
                ResolvedBase {
                    name: "other",
                    digest: None,
                },
            ],
            builder: "https://slipway.example/v1/runners/7",
            invocation: "b/1",
            started: DateTime::UNIX_EPOCH,
            finished: DateTime::UNIX_EPOCH,
        };
        let statement = provenance(&facts);
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
