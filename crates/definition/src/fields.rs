//! Typed access to YAML values, with an error at the value's position if the type is wrong.

use std::collections::BTreeMap;

use crate::error::{ParseError, did_you_mean};
use crate::yaml::{Key, Node, Value};

impl Node {
    fn type_error(&self, what: &str, expected: &str) -> ParseError {
        let found = match self.value {
            Value::Null => "empty",
            Value::Text { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        };
        self.position
            .error(format!("{what} must be {expected}, but is {found}"))
    }

    /// The value as text. Numbers and booleans keep the spelling of the file: `1.10` stays `1.10`.
    pub(crate) fn text(&self, what: &str) -> Result<&str, ParseError> {
        match &self.value {
            Value::Text { text, .. } => Ok(text),
            _ => Err(self.type_error(what, "text")),
        }
    }

    pub(crate) fn boolean(&self, what: &str) -> Result<bool, ParseError> {
        match &self.value {
            // A quoted "true" is text, as in YAML 1.2. `yes` and `on` are text, too.
            Value::Text {
                text,
                is_plain: true,
            } if text == "true" => Ok(true),
            Value::Text {
                text,
                is_plain: true,
            } if text == "false" => Ok(false),
            _ => Err(self.type_error(what, "true or false")),
        }
    }

    pub(crate) fn list(&self, what: &str) -> Result<&[Node], ParseError> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(self.type_error(what, "a list")),
        }
    }

    /// Reads a list of texts and converts each item with `read`.
    pub(crate) fn texts<T>(
        &self,
        what: &str,
        read: impl Fn(&Node, &str) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        // The error is about the item, at the item's position.
        let item_name = format!("each item of {what}");
        let items = self.list(what)?.iter();
        items
            .map(|item| read(item, item.text(&item_name)?))
            .collect()
    }

    /// The entries of a mapping, whose keys must be unique.
    pub(crate) fn entries(&self, what: &str) -> Result<&[(Key, Node)], ParseError> {
        let Value::Map(pairs) = &self.value else {
            return Err(self.type_error(what, "a mapping"));
        };
        // YAML parsers keep the last of several equal keys, which would silently drop a job.
        let mut seen = BTreeMap::new();
        for (key, _) in pairs {
            if let Some(line) = seen.insert(&key.text, key.position.line) {
                let message = format!(
                    "duplicate key {:?} in {what}; it is already defined in line {line}",
                    key.text
                );
                return Err(key.position.error(message));
            }
        }
        Ok(pairs)
    }

    /// The entries of a mapping from names to texts.
    pub(crate) fn table(&self, what: &str) -> Result<Vec<(&Key, &Node, &str)>, ParseError> {
        let value_name = format!("each value of {what}");
        let entries = self.entries(what)?.iter();
        entries
            .map(|(key, node)| Ok((key, node, node.text(&value_name)?)))
            .collect()
    }

    /// The entries of a mapping that allows only the keys in `allowed`.
    pub(crate) fn fields(&self, what: &str, allowed: &[&str]) -> Result<Fields<'_>, ParseError> {
        let entries = self.entries(what)?;
        for (key, _) in entries {
            // An unknown key is most often a typo, so it must not be ignored.
            if !allowed.contains(&key.text.as_str()) {
                let mut hint = did_you_mean(&key.text, allowed.iter().copied());
                // Without a close match, the list of keys helps more than a guess.
                if hint.is_empty() {
                    hint = format!("; allowed keys: {}", allowed.join(", "));
                }
                let message = format!("unknown key {:?} in {what}{hint}", key.text);
                return Err(key.position.error(message));
            }
        }
        Ok(Fields(entries))
    }
}

/// The entries of a mapping with a fixed set of keys.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [(Key, Node)]);

impl<'a> Fields<'a> {
    pub(crate) fn get(self, name: &str) -> Option<&'a Node> {
        self.entry(name).map(|(_, node)| node)
    }

    pub(crate) fn entry(self, name: &str) -> Option<&'a (Key, Node)> {
        self.0.iter().find(|(key, _)| key.text == name)
    }
}

/// Reads one of a fixed set of words; `what` names the field.
pub(crate) fn one_of<T: Copy>(
    node: &Node,
    what: &str,
    all: &[T],
    as_str: fn(T) -> &'static str,
) -> Result<T, ParseError> {
    let text = node.text(what)?;
    let found = all.iter().copied().find(|one| as_str(*one) == text);
    found.ok_or_else(|| {
        let words: Vec<&str> = all.iter().map(|one| as_str(*one)).collect();
        let hint = did_you_mean(text, words.iter().copied());
        let allowed = words.join(", ");
        node.position.error(format!(
            "invalid value {text:?} for {what}; allowed values: {allowed}{hint}"
        ))
    })
}
