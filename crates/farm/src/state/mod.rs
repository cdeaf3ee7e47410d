//! What a coordinator keeps in memory and shares between requests: wake-ups, caches, live traces,
//! limits. Nothing here names the farm, and nothing here is the only copy of a fact.

pub(crate) mod block_cache;
pub(crate) mod cached;
pub(crate) mod clock_jumps;
pub(crate) mod commit_lookups;
pub(crate) mod contacts;
pub(crate) mod definition_cache;
pub(crate) mod definition_reads;
pub(crate) mod disk_space;
pub(crate) mod hashing;
pub(crate) mod lease_watch;
pub(crate) mod live_traces;
pub(crate) mod pace;
pub(crate) mod progress;
pub(crate) mod rates;
pub(crate) mod sign_ins;
pub(crate) mod stored_bytes;
pub(crate) mod trace_piece;
pub(crate) mod wakeups;
