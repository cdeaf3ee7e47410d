//! The use cases of the farm, and who may do what.
//!
//! Every dialect calls these and nothing below them. Nothing here knows HTTP, SQL or the words of
//! any dialect. The database is the truth; what is kept in memory only wakes those who wait.

mod access;
mod artifacts;
mod builds;
mod chance;
mod claim;
mod clock;
mod duties;
mod error;
mod explain;
mod people;
mod projects;
mod registration;
mod report;
mod runners;
mod seal;
mod secrets;
mod settings;
mod tokens;
mod trace;
mod wakeups;

use std::sync::Arc;

use slipway_blobs::Blobs;
use slipway_store::Store;

pub use access::{Actor, NamespaceAccess, ProjectAccess};
pub use chance::Chance;
pub use clock::Clock;
pub use error::FarmError;
pub use seal::{SealKey, SealKeyError, Unopened};
pub use secrets::{ShownCredential, ShownVariable};
pub use settings::Settings;
/// Rows as the store reads them: the one model that every dialect says in its own words.
pub use slipway_store::{Page, artifacts as rows_of_artifacts};

/// The farm. Clones share it.
#[derive(Clone)]
pub struct Farm {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    blobs: Blobs,
    clock: Clock,
    chance: Chance,
    seal: SealKey,
    settings: Settings,
    wakeups: wakeups::Wakeups,
}

/// What a farm is made of.
pub struct Parts {
    /// Where rows are.
    pub store: Store,
    /// Where bytes are.
    pub blobs: Blobs,
    /// What time it is.
    pub clock: Clock,
    /// Where random bytes come from.
    pub chance: Chance,
    /// What secrets are sealed with.
    pub seal: SealKey,
    /// What the operator decided.
    pub settings: Settings,
}
