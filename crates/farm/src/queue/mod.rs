//! The queue: claims, wake-ups, why jobs wait, and the periodic duties.

pub(crate) mod announce;
pub(crate) mod claim;
pub(crate) mod duties;
pub(crate) mod explain;
pub(crate) mod metrics;
pub(crate) mod needed_images;
mod parked;
pub(crate) mod reserved;
