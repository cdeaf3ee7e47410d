//! GitHub's deliveries.

use serde::Deserialize;
use slipway_farm::Forge;

use super::{Claim, Delivery, Event, OwnedProof, Pushed};
use crate::error::ConveyorError;

/// The header that says what happened.
pub(super) const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";
const SIGNATURE: &str = "x-hub-signature-256";
const OLD_SIGNATURE: &str = "x-hub-signature";

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
    deleted: bool,
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
    let event = delivery.header(EVENT).ok_or_else(|| {
        ConveyorError::BadRequest("the header X-GitHub-Event is missing".to_owned())
    })?;
    let place = delivery.parse::<Somewhere>().ok();
    let repository = place.and_then(|place| place.repository);
    Ok(Claim {
        forge: Forge::GitHub,
        repository: repository.and_then(|repository| repository.full_name.parse().ok()),
        proof: proof(delivery),
        event: match event {
            "ping" => Event::Nothing("Ok".to_owned()),
            "push" => pushed(delivery),
            other => Event::Nothing(format!("{other}: ignored")),
        },
    })
}

fn proof(delivery: &Delivery) -> OwnedProof {
    let mark = |text: &str, name: &str| hex::decode(text.strip_prefix(name)?).ok();
    // The better signature decides where there are both.
    match (delivery.header(SIGNATURE), delivery.header(OLD_SIGNATURE)) {
        (Some(text), _) => mark(text, "sha256=").map_or(OwnedProof::None, OwnedProof::Sha256),
        (None, Some(text)) => mark(text, "sha1=").map_or(OwnedProof::None, OwnedProof::Sha1),
        (None, None) => OwnedProof::None,
    }
}

fn pushed(delivery: &Delivery) -> Event {
    let push: PushEvent = match delivery.parse() {
        Ok(push) => push,
        Err(error) => return Event::Unreadable(error.to_string()),
    };
    if push.repository.fork {
        return Event::Nothing("forks are not built".to_owned());
    }
    if push.deleted {
        return Event::Nothing("deleted branches are not built".to_owned());
    }
    let head = push.head_commit.as_ref();
    Pushed {
        repository: &push.repository.full_name,
        default_branch: push.repository.default_branch.as_deref(),
        git_ref: &push.r#ref,
        sha: head.map_or(&push.after, |commit| &commit.id),
        message: head.map_or("", |commit| &commit.message),
        delivery: delivery.header(DELIVERY),
    }
    .event()
}
