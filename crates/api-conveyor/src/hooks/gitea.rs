//! The deliveries of Gitea and Forgejo, which differ only in the names of their headers.

use actix_web::http::header::HeaderMap;
use slipway_farm::HookRefused;

use super::delivery::Delivery;
use super::push::is_zero_sha;
use super::{Event, OwnedProof, github_format, text};
use crate::error::ConveyorError;

const EVENT: [&str; 2] = ["x-forgejo-event", "x-gitea-event"];
const DELIVERY: [&str; 2] = ["x-forgejo-delivery", "x-gitea-delivery"];
const SIGNATURE: [&str; 2] = ["x-forgejo-signature", "x-gitea-signature"];

/// The event of a verified delivery.
pub(super) fn event(delivery: &Delivery) -> Event {
    let id = delivery.any_header(&DELIVERY);
    match delivery.any_header(&EVENT).unwrap_or_default() {
        "push" => github_format::push(delivery, |push| is_zero_sha(&push.after), id),
        other => Event::Ignored(format!("{other}: ignored")),
    }
}

/// What the headers prove.
///
/// # Errors
/// 400 without the header of the event; 403 without a signature.
pub(super) fn proof(headers: &HeaderMap) -> Result<OwnedProof, ConveyorError> {
    let first = |names: &[&str]| names.iter().find_map(|name| text(headers, name));
    if first(&EVENT).is_none() {
        let why = "the header X-Gitea-Event, or X-Forgejo-Event, is missing";
        return Err(ConveyorError::BadRequest(why.to_owned()));
    }
    let signature = first(&SIGNATURE).and_then(|text| hex::decode(text).ok());
    Ok(OwnedProof::Sha256(signature.ok_or(HookRefused)?))
}
