//! GitLab's deliveries.

use actix_web::http::header::HeaderMap;
use serde::Deserialize;
use slipway_domain::ProjectPath;
use slipway_farm::HookRefused;

use super::delivery::Delivery;
use super::push::{PushFields, is_zero_sha};
use super::{Event, OwnedProof, text};
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

/// The project of any event, if the event names one.
pub(super) fn repository(delivery: &Delivery) -> Option<ProjectPath> {
    let event: AnyEvent = delivery.parse().ok()?;
    event.project?.path_with_namespace.parse().ok()
}

/// The event of a verified delivery.
pub(super) fn event(delivery: &Delivery) -> Event {
    match delivery.header(EVENT).unwrap_or_default() {
        "Push Hook" | "Tag Push Hook" => push(delivery),
        other => Event::Ignored(format!("{other}: ignored")),
    }
}

/// What the headers prove.
///
/// # Errors
/// 400 without the header of the event; 403 without a token.
pub(super) fn proof(headers: &HeaderMap) -> Result<OwnedProof, ConveyorError> {
    if text(headers, EVENT).is_none() {
        let why = "the header X-Gitlab-Event is missing";
        return Err(ConveyorError::BadRequest(why.to_owned()));
    }
    let token = text(headers, TOKEN).filter(|token| !token.is_empty());
    let token = token.ok_or(HookRefused)?;
    Ok(OwnedProof::Token(token.to_owned()))
}

fn push(delivery: &Delivery) -> Event {
    let push: PushEvent = match delivery.parse_verified() {
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
