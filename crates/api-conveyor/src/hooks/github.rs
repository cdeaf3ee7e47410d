//! GitHub's deliveries.

use slipway_farm::Forge;

use super::delivery::Delivery;
use super::{Event, OwnedProof, Unverified, github_format};
use crate::error::ConveyorError;

/// The header with the event's name.
pub(super) const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";
const SIGNATURE: &str = "x-hub-signature-256";
const SHA1_SIGNATURE: &str = "x-hub-signature";

pub(super) fn parse(delivery: &Delivery) -> Result<Unverified, ConveyorError> {
    let event = delivery.header(EVENT).ok_or_else(|| {
        ConveyorError::BadRequest("the header X-GitHub-Event is missing".to_owned())
    })?;
    let id = delivery.header(DELIVERY);
    Ok(Unverified {
        forge: Forge::GitHub,
        repository: github_format::repository(delivery),
        proof: proof(delivery),
        event: match event {
            // GitHub sends it when a hook is created; Conveyor answers exactly this.
            "ping" => Event::Ignored("Ok".to_owned()),
            "push" => github_format::push(delivery, |push| push.deleted, id),
            other => Event::Ignored(format!("{other}: ignored")),
        },
    })
}

fn proof(delivery: &Delivery) -> OwnedProof {
    let decode = |text: &str, prefix: &str| hex::decode(text.strip_prefix(prefix)?).ok();
    // If both are present, SHA-256 decides: a sender must not be able to choose the weaker one.
    match (delivery.header(SIGNATURE), delivery.header(SHA1_SIGNATURE)) {
        (Some(text), _) => decode(text, "sha256=").map_or(OwnedProof::None, OwnedProof::Sha256),
        (None, Some(text)) => decode(text, "sha1=").map_or(OwnedProof::None, OwnedProof::Sha1),
        (None, None) => OwnedProof::None,
    }
}
