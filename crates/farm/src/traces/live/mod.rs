//! Live traces: followers get what is stored first, then what is appended.
//!
//! Each followed job has one live trace in `state::live_traces`, which one task fills: with what is
//! appended here after its commit, and with what other coordinators append by reading it once. A
//! follower takes pieces when it wants them and holds no more than the next one, so a slow follower
//! costs nobody anything.

pub(crate) mod cut;
pub(crate) mod follow;
pub(crate) mod stored;
pub(crate) mod tail;
