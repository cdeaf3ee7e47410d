//! Members that clients send in more than one JSON type, and forms always send as text.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A boolean, or one of the texts that stand for one.
///
/// # Errors
/// For anything else.
pub fn boolean<'de, D: Deserializer<'de>>(input: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Plain(bool),
        Text(String),
    }
    match Option::<Either>::deserialize(input)? {
        None => Ok(None),
        Some(Either::Plain(value)) => Ok(Some(value)),
        Some(Either::Text(text)) => match text.as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            "" => Ok(None),
            _ => Err(D::Error::custom("expected true or false")),
        },
    }
}

/// A comma-separated text, or an array of texts.
///
/// # Errors
/// For anything else.
pub fn list<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Items(Vec<String>),
    }
    Ok(
        Option::<Either>::deserialize(input)?.map(|list| match list {
            Either::Text(text) => text,
            Either::Items(items) => items.join(","),
        }),
    )
}
