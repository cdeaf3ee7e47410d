//! GitLab's deliveries.

use serde::Deserialize;
use slipway_farm::Forge;

use super::{Claim, Delivery, Event, OwnedProof, Pushed, is_no_commit};
use crate::error::ConveyorError;

const EVENT: &str = "x-gitlab-event";
const TOKEN: &str = "x-gitlab-token";
/// The same for every try to deliver an event, in newer versions.
const DELIVERY: [&str; 2] = ["idempotency-key", "x-gitlab-event-uuid"];

/// The part of every event that says where it happened.
#[derive(Deserialize)]
struct Somewhere {
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

pub(super) fn read(delivery: &Delivery) -> Result<Claim, ConveyorError> {
    let event = delivery.header(EVENT).ok_or_else(|| {
        ConveyorError::BadRequest("the header X-Gitlab-Event is missing".to_owned())
    })?;
    let token = delivery.header(TOKEN).filter(|token| !token.is_empty());
    let place = delivery.parse::<Somewhere>().ok();
    let project = place.and_then(|place| place.project);
    Ok(Claim {
        forge: Forge::GitLab,
        repository: project.and_then(|project| project.path_with_namespace.parse().ok()),
        proof: token.map_or(OwnedProof::None, |token| {
            OwnedProof::Token(token.to_owned())
        }),
        event: match event {
            "Push Hook" | "Tag Push Hook" => pushed(delivery),
            other => Event::Nothing(format!("{other}: ignored")),
        },
    })
}

fn pushed(delivery: &Delivery) -> Event {
    let push: PushEvent = match delivery.parse() {
        Ok(push) => push,
        Err(error) => return Event::Unreadable(error.to_string()),
    };
    if is_no_commit(&push.after) {
        return Event::Nothing("deleted branches are not built".to_owned());
    }
    // For an annotated tag this is its commit, and `after` the tag itself.
    let sha = push.checkout_sha.as_deref().unwrap_or(&push.after);
    let head = push.commits.iter().find(|commit| commit.id == sha);
    Pushed {
        repository: &push.project.path_with_namespace,
        default_branch: push.project.default_branch.as_deref(),
        git_ref: &push.r#ref,
        sha,
        message: head.map_or("", |commit| &commit.message),
        delivery: delivery.any_header(&DELIVERY),
    }
    .event()
}
