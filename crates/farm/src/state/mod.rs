//! What a coordinator keeps in memory and shares between requests. Nothing here knows the farm, and
//! nothing here is the only copy of a fact.

pub(crate) mod block_cache;
pub(crate) mod commit_lookups;
pub(crate) mod definition_cache;
pub(crate) mod hashing;
pub(crate) mod live_hub;
pub(crate) mod pace;
pub(crate) mod trace_piece;
pub(crate) mod wakeups;
