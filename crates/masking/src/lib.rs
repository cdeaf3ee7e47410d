//! Hides secrets in traces.
//!
//! There are two maskers, because runner and farm have different needs:
//!
//! * [`secrets`] replaces secrets by `[MASKED]`, in all forms in which tools print them. The runner
//!   uses it before output reaches its disk, so lengths and checksums are those of the masked text.
//! * [`in_place`] replaces each byte of a secret by `x`. The farm uses it when a stored trace is
//!   read, so offsets stay those of the stored text.
//!
//! Both read a stream and hold back its end while that could be the start of a secret.

pub mod in_place;
mod partial;
pub mod secrets;
