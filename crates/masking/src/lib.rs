//! Hides secrets in traces.
//!
//! There is one search and two ways to replace what it finds, because runner and farm have different
//! needs:
//!
//! * [`secrets`] replaces secrets by `[MASKED]`. The runner uses it before output reaches its disk, so
//!   lengths and checksums are those of the masked text.
//! * [`in_place`] replaces each byte of a secret by `x`. The farm uses it when a stored trace is
//!   read, so offsets stay those of the stored text.
//!
//! What is true of both:
//!
//! * The result does not depend on how the output is cut into pieces.
//! * Bytes that belong to no secret are unchanged, and are returned as soon as they can no longer be
//!   the start of one: at the latest with the end of their line, unless a secret has several lines.
//! * Memory is bounded: twice the size of the secrets, an index of some megabytes, and some kilobytes
//!   that are held back.
//! * Where the work would exceed these bounds, output is masked, and never passed on unread.

pub mod in_place;
mod search;
pub mod secrets;
pub mod texts;
