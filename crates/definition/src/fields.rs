//! Values as what they should be, or a fault that says so.

use std::collections::BTreeMap;

use crate::fault::{Fault, did_you_mean};
use crate::node::{Key, Node, Value};

impl Node {
    fn wrong(&self, what: &str, expected: &str) -> Fault {
        let got = match self.value {
            Value::Nothing => "nothing",
            Value::Text(..) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        };
        self.place
            .fault(format!("{what} must be {expected}, and here is {got}"))
    }

    /// A text. Numbers and such are text as they stand there: `1.10` stays `1.10`.
    pub(crate) fn text(&self, what: &str) -> Result<&str, Fault> {
        match &self.value {
            Value::Text(text, _) => Ok(text),
            _ => Err(self.wrong(what, "text")),
        }
    }

    pub(crate) fn boolean(&self, what: &str) -> Result<bool, Fault> {
        match &self.value {
            Value::Text(text, true) if text == "true" => Ok(true),
            Value::Text(text, true) if text == "false" => Ok(false),
            _ => Err(self.wrong(what, "true or false")),
        }
    }

    pub(crate) fn list(&self, what: &str) -> Result<&[Node], Fault> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(self.wrong(what, "a list")),
        }
    }

    /// A list of texts, each turned into what it stands for.
    pub(crate) fn texts<T>(
        &self,
        what: &str,
        read: impl Fn(&Node, &str) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let items = self.list(what)?.iter();
        items.map(|item| read(item, item.text(what)?)).collect()
    }

    /// The entries of a mapping, no two of one name.
    pub(crate) fn entries(&self, what: &str) -> Result<&[(Key, Node)], Fault> {
        let Value::Map(pairs) = &self.value else {
            return Err(self.wrong(what, "a mapping"));
        };
        let mut seen = BTreeMap::new();
        for (key, _) in pairs {
            if let Some(line) = seen.insert(&key.text, key.place.line) {
                let why = format!(
                    "the name {:?} is used twice in {what}, first in line {line}",
                    key.text
                );
                return Err(key.place.fault(why));
            }
        }
        Ok(pairs)
    }

    /// A mapping from names to texts.
    pub(crate) fn table(&self, what: &str) -> Result<Vec<(&Key, &Node, &str)>, Fault> {
        let entries = self.entries(what)?.iter();
        entries
            .map(|(key, node)| Ok((key, node, node.text(what)?)))
            .collect()
    }

    /// A mapping of which the names are fixed.
    pub(crate) fn fields(&self, what: &str, known: &[&str]) -> Result<Fields<'_>, Fault> {
        let entries = self.entries(what)?;
        for (key, _) in entries {
            if !known.contains(&key.text.as_str()) {
                let why = format!(
                    "{what} has no key {:?}{}",
                    key.text,
                    did_you_mean(&key.text, known.iter().copied())
                );
                return Err(key.place.fault(why));
            }
        }
        Ok(Fields(entries))
    }
}

/// The entries of a mapping of which the names are fixed.
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

/// One of a set of words.
pub(crate) fn word<T: Copy>(
    node: &Node,
    text: &str,
    all: &[T],
    told: fn(T) -> &'static str,
) -> Result<T, Fault> {
    let found = all.iter().copied().find(|one| told(*one) == text);
    found.ok_or_else(|| {
        let words: Vec<&str> = all.iter().map(|one| told(*one)).collect();
        let near = did_you_mean(text, words.iter().copied());
        let words = words.join(", ");
        node.place
            .fault(format!("{text:?} is none of {words}{near}"))
    })
}
