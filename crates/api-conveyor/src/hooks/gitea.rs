//! The deliveries of Gitea and Forgejo, which differ only in the names of their headers.

use slipway_farm::Forge;

use super::delivery::Delivery;
use super::push::is_zero_sha;
use super::{Event, OwnedProof, Unverified, github_format};
use crate::error::ConveyorError;

const EVENT: [&str; 2] = ["x-forgejo-event", "x-gitea-event"];
const DELIVERY: [&str; 2] = ["x-forgejo-delivery", "x-gitea-delivery"];
const SIGNATURE: [&str; 2] = ["x-forgejo-signature", "x-gitea-signature"];

pub(super) fn parse(delivery: &Delivery) -> Result<Unverified, ConveyorError> {
    let missing = "the header X-Gitea-Event, or X-Forgejo-Event, is missing";
    let event = delivery
        .any_header(&EVENT)
        .ok_or_else(|| ConveyorError::BadRequest(missing.to_owned()))?;
    let signature = delivery.any_header(&SIGNATURE);
    let signature = signature.and_then(|text| hex::decode(text).ok());
    let id = delivery.any_header(&DELIVERY);
    Ok(Unverified {
        forge: Forge::Gitea,
        repository: github_format::repository(delivery),
        proof: signature.map_or(OwnedProof::None, OwnedProof::Sha256),
        event: match event {
            "push" => github_format::push(delivery, |push| is_zero_sha(&push.after), id),
            other => Event::Ignored(format!("{other}: ignored")),
        },
    })
}
