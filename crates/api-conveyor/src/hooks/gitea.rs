//! The deliveries of Gitea and Forgejo, which differ in the names of headers.

use serde::Deserialize;
use slipway_farm::Forge;

use super::{Claim, Delivery, Event, OwnedProof, Pushed, is_no_commit};
use crate::error::ConveyorError;

const EVENT: [&str; 2] = ["x-forgejo-event", "x-gitea-event"];
const DELIVERY: [&str; 2] = ["x-forgejo-delivery", "x-gitea-delivery"];
const SIGNATURE: [&str; 2] = ["x-forgejo-signature", "x-gitea-signature"];

/// The part of every event that says where it happened.
#[derive(Deserialize)]
struct Somewhere {
    repository: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    full_name: String,
}

#[derive(Deserialize)]
struct PushEvent {
    r#ref: String,
    #[serde(default)]
    after: String,
    head_commit: Option<Commit>,
    repository: Repository,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
    #[serde(default)]
    fork: bool,
    default_branch: Option<String>,
}

pub(super) fn read(delivery: &Delivery) -> Result<Claim, ConveyorError> {
    let missing = "the header X-Gitea-Event, or X-Forgejo-Event, is missing";
    let event = delivery
        .any_header(&EVENT)
        .ok_or_else(|| ConveyorError::BadRequest(missing.to_owned()))?;
    let place = delivery.parse::<Somewhere>().ok();
    let repository = place.and_then(|place| place.repository);
    let mark = delivery.any_header(&SIGNATURE);
    let mark = mark.and_then(|text| hex::decode(text).ok());
    Ok(Claim {
        forge: Forge::Gitea,
        repository: repository.and_then(|repository| repository.full_name.parse().ok()),
        proof: mark.map_or(OwnedProof::None, OwnedProof::Sha256),
        event: match event {
            "push" => pushed(delivery),
            other => Event::Nothing(format!("{other}: ignored")),
        },
    })
}

fn pushed(delivery: &Delivery) -> Event {
    let push: PushEvent = match delivery.parse() {
        Ok(push) => push,
        Err(error) => return Event::Unreadable(error.to_string()),
    };
    if push.repository.fork {
        return Event::Nothing("forks are not built".to_owned());
    }
    if is_no_commit(&push.after) {
        return Event::Nothing("deleted branches are not built".to_owned());
    }
    let head = push.head_commit.as_ref();
    Pushed {
        repository: &push.repository.full_name,
        default_branch: push.repository.default_branch.as_deref(),
        git_ref: &push.r#ref,
        sha: head.map_or(&push.after, |commit| &commit.id),
        message: head.map_or("", |commit| &commit.message),
        delivery: delivery.any_header(&DELIVERY),
    }
    .event()
}
