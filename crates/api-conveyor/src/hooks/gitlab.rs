//! GitLab's deliveries.

use serde::Deserialize;
use slipway_farm::Forge;

use super::delivery::Delivery;
use super::push::{PushFields, is_zero_sha};
use super::{Event, OwnedProof, Unverified};
use crate::error::ConveyorError;

const EVENT: &str = "x-gitlab-event";
const TOKEN: &str = "x-gitlab-token";
/// Ids of a delivery. Newer versions of GitLab send the first, which stays the same when they
/// deliver an event again.
const DELIVERY: [&str; 2] = ["idempotency-key", "x-gitlab-event-uuid"];

/// The part that every event has.
#[derive(Deserialize)]
struct AnyEvent {
    project: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    path_with_namespace: String,
}

#[derive(Deserialize)]
struct PushEvent {
    r#ref: String,
    #[serde(default)]
    after: String,
    checkout_sha: Option<String>,
    project: Project,
    #[serde(default)]
    commits: Vec<Commit>,
}

#[derive(Deserialize)]
struct Project {
    path_with_namespace: String,
    default_branch: Option<String>,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    message: String,
}

pub(super) fn parse(delivery: &Delivery) -> Result<Unverified, ConveyorError> {
    let event = delivery.header(EVENT).ok_or_else(|| {
        ConveyorError::BadRequest("the header X-Gitlab-Event is missing".to_owned())
    })?;
    let token = delivery.header(TOKEN).filter(|token| !token.is_empty());
    let parsed = delivery.parse::<AnyEvent>().ok();
    let project = parsed.and_then(|parsed| parsed.project);
    Ok(Unverified {
        forge: Forge::GitLab,
        repository: project.and_then(|project| project.path_with_namespace.parse().ok()),
        proof: token.map_or(OwnedProof::None, |token| {
            OwnedProof::Token(token.to_owned())
        }),
        event: match event {
            "Push Hook" | "Tag Push Hook" => push(delivery),
            other => Event::Ignored(format!("{other}: ignored")),
        },
    })
}

fn push(delivery: &Delivery) -> Event {
    let push: PushEvent = match delivery.parse() {
        Ok(push) => push,
        Err(error) => return Event::Malformed(error.to_string()),
    };
    if is_zero_sha(&push.after) {
        return Event::Ignored("deleted branches are not built".to_owned());
    }
    // For an annotated tag, `after` is the tag object and `checkout_sha` its commit.
    let sha = push.checkout_sha.as_deref().unwrap_or(&push.after);
    let head = push.commits.iter().find(|commit| commit.id == sha);
    PushFields {
        repository: &push.project.path_with_namespace,
        default_branch: push.project.default_branch.as_deref(),
        git_ref: &push.r#ref,
        sha,
        message: head.map_or("", |commit| &commit.message),
        delivery: delivery.any_header(&DELIVERY),
    }
    .event()
}
