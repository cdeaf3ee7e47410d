//! Parses YAML into a tree of values with positions.
//!
//! The file is untrusted, so the tree is bounded in depth and in the number of values. A value
//! counts once more for each use of an alias, which stops small files that expand to huge trees.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use crate::error::{ParseError, Position};
use crate::surrogates::Repaired;

/// The maximum nesting depth.
const MAX_DEPTH: usize = 16;
/// The maximum number of values, counting each use of an alias.
const MAX_VALUES: usize = 50_000;
/// The maximum number of texts with surrogate pairs in a file that is not JSON. Each of them costs
/// another run of the parser.
const MAX_MENDED: usize = 100;

/// A value with its position.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    /// A scalar, in the spelling of the file.
    Text {
        text: String,
        /// Whether it is written without quotes.
        is_plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) position: Position,
    pub(crate) text: String,
}

/// A list or mapping whose end has not been read yet.
struct Open {
    position: Position,
    /// The id of its anchor; 0 if it has none.
    anchor: usize,
    value: Value,
    /// The key whose value is read next.
    key: Option<Key>,
}

/// A value with an anchor, and what each alias to it adds to the limits.
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

/// Why the parser stopped.
enum Stopped {
    /// The text is no YAML. It may become YAML by replacing escapes of JSON.
    Syntax(ParseError),
    Refused(ParseError),
}

/// Parses a text that consists of one YAML document. JSON is accepted, too.
pub(crate) fn parse(text: &str) -> Result<Node, ParseError> {
    let mut repaired = Repaired::new(text);
    for _ in 0..MAX_MENDED {
        match parse_once(&repaired) {
            Ok(node) => return Ok(node),
            Err(Stopped::Refused(error)) => return Err(error),
            // The parser reports an invalid escape at the beginning of its text.
            Err(Stopped::Syntax(error)) => {
                if !repaired.replace_from(error.position) {
                    return Err(in_file(&repaired, error));
                }
            }
        }
    }
    match parse_once(&repaired) {
        Ok(node) => Ok(node),
        Err(Stopped::Refused(error)) => Err(error),
        Err(Stopped::Syntax(error)) => Err(in_file(&repaired, error)),
    }
}

/// The error with its position in the file.
fn in_file(repaired: &Repaired, error: ParseError) -> ParseError {
    ParseError {
        position: repaired.original(error.position),
        ..error
    }
}

fn parse_once(repaired: &Repaired) -> Result<Node, Stopped> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(&repaired.text) {
        let (event, span) = event.map_err(|error| {
            let message = format!("invalid YAML: {}", error.info());
            Stopped::Syntax(position_of(error.marker()).error(message))
        })?;
        let position = repaired.original(position_of(&span.start));
        builder.take(event, position).map_err(Stopped::Refused)?;
    }
    let empty = || Position::START.error("the file is empty; define at least one job in `jobs`");
    builder.root.ok_or_else(|| Stopped::Refused(empty()))
}

fn position_of(mark: &Marker) -> Position {
    Position {
        line: mark.line().max(1),
        column: mark.col() + 1,
    }
}

impl Builder {
    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), ParseError> {
        match event {
// Ignoring further documents would hide jobs from the author.
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(position.error("the file has a second YAML document; only one is allowed"))
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
// Tags such as `!reference` change the meaning of a value, so they must not be ignored.
            | Event::MappingStart(_, Some(_)) => {
                Err(position.error("YAML tags such as `!x` are not supported; remove the tag"))
            }
            Event::Scalar(text, style, anchor, None) => {
                self.count(1, 1, position)?;
                let is_plain = style == ScalarStyle::Plain;
// A key with an anchor falls through to `add`, which refuses it.
                if self.expects_key() && anchor == 0 {
                    self.set_key(Key {
                        position,
                        text: text.into_owned(),
                    });
                    return Ok(());
                }
// A quoted "null" is text.
                let value = match text.as_ref() {
                    "" | "~" | "null" if is_plain => Value::Null,
                    text => Value::Text {
                        text: text.to_owned(),
                        is_plain,
                    },
                };
                self.add(Node { position, value }, anchor)
            }
            Event::SequenceStart(anchor, None) => {
                self.begin(position, anchor, Value::List(Vec::new()))
            }
            Event::MappingStart(anchor, None) => {
                self.begin(position, anchor, Value::Map(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => {
                    let Open {
                        position, value, ..
                    } = done;
                    self.add(Node { position, value }, done.anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                // An anchor is registered when its value ends, so an unknown one is still open.
                let Some(target) = self.anchors.get(&anchor).cloned() else {
                    return Err(position.error("this alias refers to a value that contains it"));
                };
                self.count(target.values, target.depth, position)?;
                self.add(target.node, 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, position: Position, anchor: usize, value: Value) -> Result<(), ParseError> {
        self.count(1, 1, position)?;
        self.open.push(Open {
            position,
            anchor,
            value,
            key: None,
        });
        Ok(())
    }

    /// Counts values that are about to be added, which are nested `depth` levels deep.
    fn count(&mut self, values: usize, depth: usize, position: Position) -> Result<(), ParseError> {
        // Checked before values are copied, so that an alias bomb fails early.
        self.values = self.values.saturating_add(values);
        if self.values > MAX_VALUES {
            return Err(position.error(format!(
                "too many values up to here; at most {MAX_VALUES} are allowed, counting each use of \
                 an alias"
            )));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return Err(position.error(format!(
                "values are nested too deeply here; at most {MAX_DEPTH} levels are allowed"
            )));
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

    /// Adds a complete value to the innermost open list or mapping.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), ParseError> {
        if anchor != 0 {
            let (values, depth) = measure(&node);
            let node = node.clone();
            // Each stored copy counts, so that nested anchors cannot multiply the memory used.
            self.count(values, 0, node.position)?;
            let anchored = Anchored {
                node,
                values,
                depth,
            };
            self.anchors.insert(anchor, anchored);
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.value {
            Value::List(items) => items.push(node),
            // A list or mapping in the place of a key arrives here without a key.
            Value::Map(pairs) => match open.key.take() {
                Some(key) => pairs.push((key, node)),
                None => {
                    return Err(node
                        .position
                        .error("a key must be plain text, without an anchor, list or mapping"));
                }
            },
            Value::Null | Value::Text { .. } => {}
        }
        Ok(())
    }
}

/// The number of values in a value, including itself, and its depth.
fn measure(node: &Node) -> (usize, usize) {
    let fold = |inner: &mut dyn Iterator<Item = &Node>| {
        inner.map(measure).fold((1, 1), |sum, (values, depth)| {
            (sum.0 + values, sum.1.max(depth + 1))
        })
    };
    match &node.value {
        Value::Null | Value::Text { .. } => (1, 1),
        Value::List(items) => fold(&mut items.iter()),
        Value::Map(pairs) => fold(&mut pairs.iter().map(|(_, node)| node)),
    }
}
