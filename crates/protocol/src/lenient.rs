//! Deserializers for members that clients send in more than one JSON type. Forms send text only.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads a boolean, or one of the texts `true`, `1`, `false` and `0`. An empty text counts as
/// missing.
///
/// # Errors
/// If the value is anything else.
pub fn boolean<'de, D: Deserializer<'de>>(input: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum BooleanOrText {
        Boolean(bool),
        Text(String),
    }
    match Option::<BooleanOrText>::deserialize(input)? {
        None => Ok(None),
        Some(BooleanOrText::Boolean(value)) => Ok(Some(value)),
        Some(BooleanOrText::Text(text)) => match text.as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            "" => Ok(None),
            _ => Err(D::Error::custom("expected true or false")),
        },
    }
}

/// Reads a comma-separated text, or an array of texts, as a comma-separated text.
///
/// # Errors
/// If the value is anything else.
pub fn list<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrArray {
        Text(String),
        Items(Vec<String>),
    }
    Ok(
        Option::<TextOrArray>::deserialize(input)?.map(|list| match list {
            TextOrArray::Text(text) => text,
            TextOrArray::Items(items) => items.join(","),
        }),
    )
}
