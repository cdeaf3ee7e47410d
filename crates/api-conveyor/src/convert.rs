//! Conversion between the farm's types and Conveyor's.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};
use slipway_domain::{BuildState, GitRef};
use slipway_farm::{Build, CommitRequest, FoundImage, Project};
use slipway_http::check_json_values;

use crate::error::ConveyorError;
use crate::wire;

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

pub(crate) fn artifact(image: &FoundImage) -> wire::Artifact {
    wire::Artifact {
        id: image.id.to_string(),
        image: image.reference.clone(),
        build: wire::BuildRef {
            id: image.build.to_string(),
        },
    }
}

/// The branch of a build; empty if it has none, as the reference server stores it.
fn branch(git_ref: Option<&GitRef>) -> String {
    git_ref.map(GitRef::to_string).unwrap_or_default()
}

/// The state of a build. Clients know four states and wait for `succeeded` or `failed`.
fn state(state: BuildState) -> &'static str {
    match state {
        BuildState::Pending => "pending",
        BuildState::Running => "building",
        BuildState::Succeeded => "succeeded",
        // There is no other word that makes clients stop waiting without an image.
        BuildState::Failed | BuildState::Canceled | BuildState::Skipped => "failed",
    }
}

fn date(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Parses the body of `POST /builds`.
///
/// Null and empty members count as missing, because the generated client sends every member.
/// Unknown members are ignored.
///
/// # Errors
/// 400 if the body is not an object or a member is malformed; 422 if a member is missing or the
/// branch is not a valid name.
pub(crate) fn commit_request(body: &[u8]) -> Result<CommitRequest, ConveyorError> {
    let bad = ConveyorError::BadRequest;
    check_json_values(body)?;
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
        // A branch that git cannot have does not exist, and a missing branch is 422 here.
        branch: match branch.map(str::parse).transpose() {
            Ok(branch) => branch,
            Err(_) => {
                let why = "`branch` is not a valid name of a git branch";
                return Err(ConveyorError::Invalid(why));
            }
        },
    };
    if request.branch.is_none() && request.sha.is_none() {
        return Err(ConveyorError::Invalid(
            "`branch` and `sha` are both missing: a build needs one of them",
        ));
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
            "`{name}` must be a string"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn refused_with(body: &str) -> u16 {
        commit_request(body.as_bytes())
            .unwrap_err()
            .status_code()
            .as_u16()
    }

    #[test]
    fn unknown_members_are_ignored_and_empty_ones_count_as_missing() {
        let body = format!(
            r#"{{"repository":"Acme/my.app","branch":"a/b","sha":"{}","extra":[1]}}"#,
            SHA.to_uppercase()
        );
        let request = commit_request(body.as_bytes()).unwrap();
        assert_eq!(request.project.to_string(), "Acme/my.app");
        assert_eq!(request.branch.unwrap().to_string(), "a/b");
        assert_eq!(request.sha.unwrap().as_str(), SHA);
        let empty = format!(r#"{{"repository":"a/b","branch":"","sha":"{SHA}"}}"#);
        assert!(commit_request(empty.as_bytes()).unwrap().branch.is_none());
    }

    #[test]
    fn malformed_members_are_400_and_missing_ones_422() {
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
            assert_eq!(refused_with(bad), 400, "{bad}");
        }
        for incomplete in [
            "{}",
            r#"{"repository":null,"branch":"x"}"#,
            r#"{"repository":"a/b"}"#,
            r#"{"repository":"a/b","sha":null,"branch":""}"#,
            r#"{"repository":"a/b","branch":"a..b"}"#,
        ] {
            assert_eq!(refused_with(incomplete), 422, "{incomplete}");
        }
    }

    #[test]
    fn every_build_state_maps_to_one_of_four_words() {
        let words = [
            (BuildState::Pending, "pending"),
            (BuildState::Running, "building"),
            (BuildState::Succeeded, "succeeded"),
            (BuildState::Failed, "failed"),
            (BuildState::Canceled, "failed"),
            (BuildState::Skipped, "failed"),
        ];
        for (farm_state, word) in words {
            assert_eq!(state(farm_state), word);
        }
    }
}
