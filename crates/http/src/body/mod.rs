//! Request bodies. A handler gets an [`UnreadBody`], and says with each read who the sender is and how
//! much is read: up to a few kilobytes from anybody, and more only with proof of a [`KnownSender`].

mod error;
mod guard;
mod json;
mod known;
mod media;
mod memory;
mod rest;
mod unread;

pub use error::BodyError;
pub(crate) use guard::BodyState;
pub use guard::{BodyRules, guard_body};
pub use json::{MAX_JSON_VALUES, check_json_values, find_json_text};
pub(crate) use known::KnownMark;
pub use known::{KnownSender, note_known_sender};
pub use media::{is_json, media_type};
pub use memory::BodyMemory;
pub use unread::{Body, BodyStream, UNKNOWN_SENDER_BYTES, UnreadBody};
