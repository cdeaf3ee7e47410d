//! The farm's builds and images in Conveyor's words, and its requests in the farm's.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};
use slipway_domain::{BuildState, GitRef};
use slipway_farm::{Build, CommitRequest, FoundImage, Project};

use crate::error::ConveyorError;
use crate::wire;

/// A build as this API shows it.
pub(crate) fn build(project: &Project, build: &Build) -> wire::Build {
    wire::Build {
        id: build.uuid.to_string(),
        repository: project.path(),
        branch: branch(build.git_ref.as_ref()),
        sha: build.sha.to_string(),
        state: state(build.state),
        created_at: date(build.created_at),
        started_at: build.started_at.map(date),
        completed_at: build.finished_at.map(date),
    }
}

/// An image as this API shows it.
pub(crate) fn artifact(image: &FoundImage) -> wire::Artifact {
    wire::Artifact {
        id: image.id.to_string(),
        image: image.reference.clone(),
        build: wire::BuildRef {
            id: image.build.to_string(),
        },
    }
}

/// Builds without a branch have an empty one, as in the reference.
fn branch(git_ref: Option<&GitRef>) -> String {
    git_ref.map(GitRef::to_string).unwrap_or_default()
}

/// Clients know four states, and wait for one of the last two.
fn state(state: BuildState) -> &'static str {
    match state {
        BuildState::Pending => "pending",
        BuildState::Running => "building",
        BuildState::Succeeded => "succeeded",
        BuildState::Failed | BuildState::Canceled | BuildState::Skipped => "failed",
    }
}

fn date(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads the body of `POST /builds`. What is null or empty is not given: the generated client
/// sends every member.
pub(crate) fn request(body: &[u8]) -> Result<CommitRequest, ConveyorError> {
    let bad = ConveyorError::BadRequest;
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
        return Err(bad("expected a JSON object".to_owned()));
    };
    let repository = text(&members, "repository")?;
    let (branch, sha) = (text(&members, "branch")?, text(&members, "sha")?);
    let repository = repository.ok_or(ConveyorError::Invalid(
        "`repository` is missing: expected owner/name",
    ))?;
    let project = repository.parse();
    let sha = sha.map(str::parse).transpose();
    let request = CommitRequest {
        project: project.map_err(|error: slipway_domain::Invalid| bad(error.to_string()))?,
        sha: sha.map_err(|error: slipway_domain::Invalid| bad(error.to_string()))?,
        branch: match branch.map(str::parse).transpose() {
            Ok(branch) => branch,
            Err(_) => {
                let why = "`branch` is no name that a git branch can have";
                return Err(ConveyorError::Invalid(why));
            }
        },
    };
    if request.branch.is_none() && request.sha.is_none() {
        return Err(ConveyorError::Invalid("a build needs a branch or a sha"));
    }
    Ok(request)
}

fn text<'a>(
    members: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, ConveyorError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(ConveyorError::BadRequest(format!(
            "`{name}` has to be a string"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn refused(body: &str) -> u16 {
        request(body.as_bytes()).unwrap_err().status_code().as_u16()
    }

    #[test]
    fn a_request_is_read_whatever_else_it_has() {
        let body = format!(
            r#"{{"repository":"Acme/my.app","branch":"a/b","sha":"{}","extra":[1]}}"#,
            SHA.to_uppercase()
        );
        let read = request(body.as_bytes()).unwrap();
        assert_eq!(read.project.to_string(), "Acme/my.app");
        assert_eq!(read.branch.unwrap().as_str(), "a/b");
        assert_eq!(read.sha.unwrap().as_str(), SHA);
        let empty = format!(r#"{{"repository":"a/b","branch":"","sha":"{SHA}"}}"#);
        assert!(request(empty.as_bytes()).unwrap().branch.is_none());
    }

    #[test]
    fn what_cannot_be_read_and_what_is_missing_are_told_apart() {
        for bad in [
            "",
            "[",
            "[]",
            "5",
            r#"{"repository":5}"#,
            r#"{"repository":"a","sha":"z"}"#,
            r#"{"repository":"a/b/c","branch":"x"}"#,
            r#"{"repository":"a/b","sha":"abcdef0"}"#,
            r#"{"repository":"a/b","branch":["x"]}"#,
        ] {
            assert_eq!(refused(bad), 400, "{bad}");
        }
        for lacking in [
            "{}",
            r#"{"repository":null,"branch":"x"}"#,
            r#"{"repository":"a/b"}"#,
            r#"{"repository":"a/b","sha":null,"branch":""}"#,
            r#"{"repository":"a/b","branch":"a..b"}"#,
        ] {
            assert_eq!(refused(lacking), 422, "{lacking}");
        }
    }

    #[test]
    fn every_state_is_one_of_four() {
        let words = [
            (BuildState::Pending, "pending"),
            (BuildState::Running, "building"),
            (BuildState::Succeeded, "succeeded"),
            (BuildState::Failed, "failed"),
            (BuildState::Canceled, "failed"),
            (BuildState::Skipped, "failed"),
        ];
        for (own, word) in words {
            assert_eq!(state(own), word);
        }
    }
}
