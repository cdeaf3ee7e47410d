//! The random values of rows whose tokens are derived.

use slipway_domain::Nonce;
use uuid::Uuid;

use crate::engine::time::parse;
use crate::error::StoreError;

/// The stored form of a nonce that no row has had before.
#[expect(
    clippy::disallowed_methods,
    reason = "every way of creating a row needs one, also retries in the middle of a transaction, and \
              no decision depends on its value"
)]
pub(crate) fn new_nonce() -> String {
    Nonce(Uuid::new_v4()).to_string()
}

/// Parses a stored nonce, which rows of earlier versions do not have.
pub(crate) fn from_opt_nonce(text: Option<&str>) -> Result<Option<Nonce>, StoreError> {
    text.map(|text| parse(text, "nonce")).transpose()
}
