//! The JSON schema accepts and refuses the same files as the parser, as far as a schema can.

use slipway_definition::{SCHEMA, parse};
use slipway_domain::FailureReason;

/// The YAML examples in `docs/pipelines.md`.
fn examples() -> Vec<&'static str> {
    let page = include_str!("../../../docs/pipelines.md");
    page.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

/// A file as a JSON value, to validate it with the schema.
fn value(text: &str) -> serde_json::Value {
    yaml::value(text)
}

fn validator() -> jsonschema::Validator {
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is a valid JSON schema")
}

#[test]
fn every_example_in_the_docs_is_valid_for_the_parser_and_the_schema() {
    let schema = validator();
    let examples = examples();
    assert!(examples.len() >= 5, "{examples:?}");
    for text in examples {
        parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let value = value(text);
        let errors: Vec<String> = schema
            .iter_errors(&value)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors, [""; 0], "{text}");
    }
}

#[test]
fn the_schema_accepts_what_the_parser_accepts() {
    let schema = validator();
    for text in [
        "{jobs: {a: {image: }}}",
        "{jobs: {a: {script: x, retry: 3, timeout: 90}}}",
        "{jobs: {a: {script: [x, 1], variables: {A: 1, B: true}, tags: [x]}}}",
        "{jobs: {a: {image: {args: {A: 1.5}, tags: [1.0], labels: {a.b: c}}, matrix: {V: [1, x]}}}}",
        "{jobs: {a: {script: [x], artifacts: {paths: [a], expire_in: 3600}, when: manual}}}",
    ] {
        assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        assert!(schema.is_valid(&value(text)), "{text}");
    }
}

#[test]
fn the_parser_refuses_what_the_schema_refuses() {
    let schema = validator();
    for text in [
        "{}",
        "[]",
        "{jobs: {}}",
        "{jobs: [a]}",
        "{job: {a: {image: {}}}}",
        "{jobs: {a: {}}}",
        "{jobs: {a: {image: {}, script: [x]}}}",
        "{jobs: {a: {image: {}, run_in: x}}}",
        "{jobs: {a: {image: {}, variables: {A: b}}}}",
        "{jobs: {a: {image: {}, artifacts: {paths: [x]}}}}",
        "{jobs: {a: {image: {contxt: x}}}}",
        "{jobs: {a: {image: {no_cache: 1}}}}",
        "{jobs: {a b: {image: {}}}}",
        "{jobs: {a: {image: {args: {1: x}}}}}",
        "{jobs: {a: {image: {args_from: {A: {}}}}}}",
        "{jobs: {a: {script: []}}}",
        "{jobs: {a: {script: [{}]}}}",
        "{jobs: {a: {script: [x], needs: b}}}",
        "{jobs: {a: {script: [x], when: later}}}",
        "{jobs: {a: {script: [x], allow_failure: 'true'}}}",
        "{jobs: {a: {script: [x], retry: 0}}}",
        "{jobs: {a: {script: [x], retry: {on: [job_failed]}}}}",
        "{jobs: {a: {script: [x], retry: {max: 1, on: [luck]}}}}",
        "{jobs: {a: {script: [x], run_in: {image: x}}}}",
        "{jobs: {a: {script: [x], artifacts: {}}}}",
        "{jobs: {a: {script: [x], artifacts: {paths: []}}}}",
        "{jobs: {a: {script: [x], artifacts: {paths: [x], when: never}}}}",
        "{jobs: {a: {script: [x], matrix: {}}}}",
        "{jobs: {a: {script: [x], matrix: {V: []}}}}",
        "{jobs: {a: {script: [x], matrix: {V: 1}}}}",
        "{stages: [x, x], jobs: {a: {image: {}}}}",
        "{variables: {A: [b]}, jobs: {a: {image: {}}}}",
    ] {
        assert!(parse(text).is_err(), "the parser accepts {text}");
        assert!(!schema.is_valid(&value(text)), "the schema accepts {text}");
    }
}

#[test]
fn the_schema_lists_every_failure_reason_for_retries() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let retry = &schema["$defs"]["job"]["properties"]["retry"]["oneOf"][1];
    let listed = retry["properties"]["on"]["items"]["enum"]
        .as_array()
        .unwrap();
    let listed: Vec<&str> = listed.iter().filter_map(|word| word.as_str()).collect();
    let all: Vec<&str> = FailureReason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(listed, all);
}

/// Converts YAML to JSON as editors do: plain scalars become numbers and booleans where possible.
mod yaml {
    use saphyr_parser::{Event, Parser, ScalarStyle};
    use serde_json::{Map, Value};

    pub(super) fn value(text: &str) -> Value {
        let mut open: Vec<(Value, Option<String>)> = Vec::new();
        let mut root = Value::Null;
        for event in Parser::new_from_str(text) {
            let (event, _) = event.expect("YAML");
            let whole = match event {
                Event::SequenceStart(..) => {
                    open.push((Value::Array(Vec::new()), None));
                    continue;
                }
                Event::MappingStart(..) => {
                    open.push((Value::Object(Map::new()), None));
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => open.pop().expect("an end").0,
                Event::Scalar(text, style, ..) => match open.last_mut() {
                    Some((Value::Object(_), key @ None)) => {
                        *key = Some(text.into_owned());
                        continue;
                    }
                    _ => scalar(&text, style == ScalarStyle::Plain),
                },
                _ => continue,
            };
            match open.last_mut() {
                Some((Value::Array(items), _)) => items.push(whole),
                Some((Value::Object(pairs), key)) => {
                    pairs.insert(key.take().expect("a key"), whole);
                }
                _ => root = whole,
            }
        }
        root
    }

    fn scalar(text: &str, plain: bool) -> Value {
        match text {
            "" | "~" | "null" if plain => Value::Null,
            "true" | "false" if plain => Value::Bool(text == "true"),
            _ if plain => match serde_json::from_str::<serde_json::Number>(text) {
                Ok(number) => Value::Number(number),
                Err(_) => Value::String(text.to_owned()),
            },
            _ => Value::String(text.to_owned()),
        }
    }
}
