//! Checks what clients recorded of a farm: claims, reports, cancels and reads, with their times.
//!
//! The check is a pure function of the recorded events. It does not know the farm, only what every farm
//! must keep: one holder of a job at a time, no accepted report of a runner that lost its job, terminal
//! states that stay, and nothing lost that was acknowledged.
//!
//! Requests overlap, so an order is concluded only if one event ended before the other began. An answer
//! that never arrived proves nothing: its request may have been carried out or not.

mod check;
mod event;

pub use crate::check::{Violation, check};
pub use crate::event::{Action, Answer, Event, Recorder, State};
