//! Live traces: what is stored first, then what comes.

pub(crate) mod cut;
pub(crate) mod follow;
pub(crate) mod stored;
pub(crate) mod tail;
