//! The text as a tree in which every value knows its place.
//!
//! Strangers write the file, so the tree is bounded: in depth, and in the number of its values, of
//! which those that an alias repeats count again.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use crate::fault::{Fault, Place};

/// How deep values are inside each other.
const MAX_DEPTH: usize = 16;
/// How many values there are, with those that aliases repeat.
const MAX_VALUES: usize = 50_000;

/// A value.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Nothing,
    /// Text as it stands in the file, and whether it stands there without quotes.
    Text(String, bool),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The name of a value in a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) text: String,
}

/// A list or a mapping that has begun, and its anchor.
struct Open {
    place: Place,
    anchor: usize,
    value: Value,
    key: Option<Key>,
}

/// What a repetition of a value costs.
#[derive(Clone)]
struct Anchored {
    node: Node,
    values: usize,
    depth: usize,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    values: usize,
    root: Option<Node>,
}

/// Reads a text of one document.
pub(crate) fn parse(text: &str) -> Result<Node, Fault> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|error| place(error.marker()).fault(format!("not YAML: {}", error.info())))?;
        builder.take(event, place(&span.start))?;
    }
    let empty = || Place::START.fault("the file is empty; a pipeline has `jobs`");
    builder.root.ok_or_else(empty)
}

fn place(mark: &Marker) -> Place {
    Place {
        line: mark.line().max(1),
        column: mark.col() + 1,
    }
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(place.fault("the file has a second document; one is read"))
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                Err(place.fault("tags that begin with ! are not taken"))
            }
            Event::Scalar(text, style, anchor, None) => {
                self.count(1, 1, place)?;
                let plain = style == ScalarStyle::Plain;
                if self.expects_key() && anchor == 0 {
                    self.set_key(Key {
                        place,
                        text: text.into_owned(),
                    });
                    return Ok(());
                }
                let value = match text.as_ref() {
                    "" | "~" | "null" if plain => Value::Nothing,
                    text => Value::Text(text.to_owned(), plain),
                };
                self.add(Node { place, value }, anchor)
            }
            Event::SequenceStart(anchor, None) => {
                self.begin(place, anchor, Value::List(Vec::new()))
            }
            Event::MappingStart(anchor, None) => self.begin(place, anchor, Value::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => {
                    let Open { place, value, .. } = done;
                    self.add(Node { place, value }, done.anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(again) = self.anchors.get(&anchor).cloned() else {
                    return Err(place.fault("this alias is of the value that it is in"));
                };
                self.count(again.values, again.depth, place)?;
                self.add(again.node, 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, place: Place, anchor: usize, value: Value) -> Result<(), Fault> {
        self.count(1, 1, place)?;
        self.open.push(Open {
            place,
            anchor,
            value,
            key: None,
        });
        Ok(())
    }

    /// Counts values that are to be added, `depth` of them inside each other.
    fn count(&mut self, values: usize, depth: usize, place: Place) -> Result<(), Fault> {
        self.values = self.values.saturating_add(values);
        if self.values > MAX_VALUES {
            let why = "there are too many values up to here, counting what aliases repeat; \
                       at most 50000 are read";
            return Err(place.fault(why));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return Err(place.fault("values are in values more than 16 deep here"));
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        let inner = self.open.last();
        inner.is_some_and(|open| matches!(open.value, Value::Map(_)) && open.key.is_none())
    }

    fn set_key(&mut self, key: Key) {
        if let Some(open) = self.open.last_mut() {
            open.key = Some(key);
        }
    }

    /// Puts a value that is whole where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            let (values, depth) = measure(&node);
            let node = node.clone();
            // Each copy that is kept counts, so that anchors inside of anchors do not add up.
            self.count(values, 0, node.place)?;
            let kept = Anchored {
                node,
                values,
                depth,
            };
            self.anchors.insert(anchor, kept);
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.value {
            Value::List(items) => items.push(node),
            Value::Map(pairs) => match open.key.take() {
                Some(key) => pairs.push((key, node)),
                None => return Err(node.place.fault("a key must be plain text")),
            },
            Value::Nothing | Value::Text(..) => {}
        }
        Ok(())
    }
}

/// How many values there are in a value, itself among them, and how deep.
fn measure(node: &Node) -> (usize, usize) {
    let fold = |inner: &mut dyn Iterator<Item = &Node>| {
        inner.map(measure).fold((1, 1), |sum, (values, depth)| {
            (sum.0 + values, sum.1.max(depth + 1))
        })
    };
    match &node.value {
        Value::Nothing | Value::Text(..) => (1, 1),
        Value::List(items) => fold(&mut items.iter()),
        Value::Map(pairs) => fold(&mut pairs.iter().map(|(_, node)| node)),
    }
}
