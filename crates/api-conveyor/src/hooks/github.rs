//! GitHub's deliveries.

use actix_web::http::header::HeaderMap;
use slipway_farm::HookRefused;

use super::delivery::Delivery;
use super::{Event, OwnedProof, github_format, text};
use crate::error::ConveyorError;

/// The header with the event's name.
pub(super) const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";
const SIGNATURE: &str = "x-hub-signature-256";
const SHA1_SIGNATURE: &str = "x-hub-signature";

/// The event of a verified delivery.
pub(super) fn event(delivery: &Delivery) -> Event {
    match delivery.header(EVENT).unwrap_or_default() {
        // GitHub sends it when a hook is created; Conveyor answers exactly this.
        "ping" => Event::Ignored("Ok".to_owned()),
        "push" => github_format::push(delivery, |push| push.deleted, delivery.header(DELIVERY)),
        other => Event::Ignored(format!("{other}: ignored")),
    }
}

/// What the headers prove.
///
/// # Errors
/// 400 without the header of the event; 403 without a signature.
pub(super) fn proof(headers: &HeaderMap) -> Result<OwnedProof, ConveyorError> {
    if text(headers, EVENT).is_none() {
        let why = "the header X-GitHub-Event is missing";
        return Err(ConveyorError::BadRequest(why.to_owned()));
    }
    let decode = |text: &str, prefix: &str| hex::decode(text.strip_prefix(prefix)?).ok();
    // If both are present, SHA-256 decides: a sender must not be able to choose the weaker one.
    let proof = match (text(headers, SIGNATURE), text(headers, SHA1_SIGNATURE)) {
        (Some(text), _) => decode(text, "sha256=").map(OwnedProof::Sha256),
        (None, Some(text)) => decode(text, "sha1=").map(OwnedProof::Sha1),
        (None, None) => None,
    };
    Ok(proof.ok_or(HookRefused)?)
}
