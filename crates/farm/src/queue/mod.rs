//! The queue: claims, wake-ups, why a job waits, and the periodic duties.

pub(crate) mod announce;
pub(crate) mod claim;
pub(crate) mod duties;
pub(crate) mod explain;
pub(crate) mod figures;
pub(crate) mod made_images;
pub(crate) mod reserved;
