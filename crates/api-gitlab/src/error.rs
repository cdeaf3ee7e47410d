//! Error bodies that all APIs of this crate share.

use serde_json::{Value, json};

/// The body `{"message": …}`.
pub(crate) fn message(text: &str) -> Value {
    json!({ "message": text })
}
