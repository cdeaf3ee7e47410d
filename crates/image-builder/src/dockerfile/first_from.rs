//! How a Dockerfile begins: what can be said of it before the engine reads it all.
//!
//! Only the instructions up to the first `FROM` are looked at. The engine parses the rest, and a
//! name that depends on what only the engine knows is left to it.

use std::collections::HashMap;

use slipway_domain::ImageBuild;
use slipway_domain::image::is_reference;

use crate::error::BuildError;

/// The image that a Dockerfile builds upon first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// Its name, with the values of variables in it.
    pub(crate) image: String,
    /// Whether it is asked for in a special way, such as for another platform.
    pub(crate) is_special: bool,
}

/// Refuses a Dockerfile that does not begin with `FROM`, after nothing but `ARG`, and the name of
/// an image. Returns that image, unless only the engine knows it.
pub(crate) fn check(dockerfile: &str, spec: &ImageBuild) -> Result<Option<Base>, BuildError> {
    let mut args: HashMap<String, String> = HashMap::new();
    let mut is_first = true;
    for instruction in instructions(dockerfile) {
        let (word, rest) = split_word(&instruction);
        match word.to_ascii_uppercase().as_str() {
            "ARG" => args.extend(defaults(rest, spec)),
            "FROM" => return check_base(rest, &args),
            _ if is_first => return Err(invalid("its first instruction is neither FROM nor ARG")),
            _ => return Err(invalid("before the first FROM there can only be ARG")),
        }
        is_first = false;
    }
    Err(invalid(match is_first {
        true => "it has no instructions",
        false => "it has no FROM",
    }))
}

fn invalid(detail: &str) -> BuildError {
    BuildError::DockerfileInvalid {
        detail: detail.to_owned(),
    }
}

/// The instructions, each in one line, without comments.
fn instructions(text: &str) -> impl Iterator<Item = String> {
    let text = text.trim_start_matches('\u{feff}');
    let escape = escape(text);
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut instruction = String::new();
        for line in lines.by_ref() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.strip_suffix(escape) {
                Some(more) => instruction.push_str(more),
                None => {
                    instruction.push_str(line);
                    return Some(instruction);
                }
            }
        }
        (!instruction.trim().is_empty()).then_some(instruction)
    })
}

/// The character that makes the next line a part of this one, which a directive may change.
fn escape(text: &str) -> char {
    let directives = text.lines().map_while(|line| {
        let (key, value) = line.trim().strip_prefix('#')?.split_once('=')?;
        Some((key.trim(), value.trim()))
    });
    let mut escapes = directives.filter(|(key, _)| key.eq_ignore_ascii_case("escape"));
    match escapes.next() {
        Some((_, "`")) => '`',
        _ => '\\',
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// The values that an `ARG` gives, with those of the build before its own. What is given by means
/// of another variable, or in parts, is left out, and so not known.
fn defaults(text: &str, spec: &ImageBuild) -> Vec<(String, String)> {
    let known = text.split_whitespace().filter_map(|part| {
        let (name, default) = match part.split_once('=') {
            Some((name, default)) => (name, Some(default)),
            None => (part, None),
        };
        let value = match (spec.args.get(name), default) {
            (Some(value), _) => value.clone(),
            (None, default) => unquoted(default?)?.to_owned(),
        };
        Some((name.to_owned(), value))
    });
    known.collect()
}

/// A value without its quotes; `None` when it is anything but plain text.
fn unquoted(value: &str) -> Option<&str> {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    let value = inside('"').or_else(|| inside('\'')).unwrap_or(value);
    (!value.contains(['"', '\'', '$', '\\', '`'])).then_some(value)
}

fn check_base(text: &str, args: &HashMap<String, String>) -> Result<Option<Base>, BuildError> {
    let mut words = text
        .split_whitespace()
        .skip_while(|word| word.starts_with("--"));
    let Some(image) = words.next() else {
        return Err(invalid("its first FROM names no image"));
    };
    match substituted(image, args) {
        Some(name) if !is_reference(&name) => {
            let shown: String = name.chars().take(100).collect();
            let shown = shown.escape_debug();
            Err(invalid(&format!("\"{shown}\" is not the name of an image")))
        }
        name => Ok(name.map(|image| Base {
            image,
            is_special: text.starts_with("--"),
        })),
    }
}

/// A text with the values of its variables; `None` when one of them is not known here.
fn substituted(text: &str, args: &HashMap<String, String>) -> Option<String> {
    if text.contains(['"', '\'', '\\', '`']) {
        return None;
    }
    let mut parts = text.split('$');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (value, rest) = match part.strip_prefix('{') {
            Some(part) => {
                let (name, rest) = part.split_once('}')?;
                let (name, default) = match name.split_once(":-") {
                    Some((name, default)) => (name, Some(default)),
                    None => (name, None),
                };
                let value = args.get(name).map(String::as_str);
                (value.filter(|value| !value.is_empty()).or(default)?, rest)
            }
            None => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = part.find(|c| !is_name(c)).unwrap_or(part.len());
                (args.get(&part[..end])?.as_str(), &part[end..])
            }
        };
        whole.push_str(value);
        whole.push_str(rest);
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Option<String> {
        let mut spec = ImageBuild::default();
        let (name, value) = ("GIVEN".to_owned(), "Not Valid".to_owned());
        spec.args.insert(name, value);
        check(text, &spec).err().map(|error| error.to_string())
    }

    #[test]
    fn a_dockerfile_begins_with_a_base_image() {
        for good in [
            "FROM scratch",
            "\u{feff}# syntax=docker/dockerfile:1\n\n  from alpine:3.20 AS build\nRUN x",
            "ARG V=3.20\nARG OTHER\nFROM alpine:${V}\n",
            "ARG V=\"3.20\" W='x'\nFROM r.example:5000/a/${W}:$V",
            "FROM --platform=$BUILDPLATFORM golang:1.22",
            "FROM \\\n# a comment\n\n  alpine",
            "# escape=`\nFROM `\n alpine",
            "FROM alpine@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            // What only the engine knows is left to it.
            "FROM alpine:${TARGETARCH}",
            "ARG A\nFROM $A",
            "ARG A=$B\nFROM $A",
            "FROM ${A:-alpine}",
            "FROM ${A#X}",
            "ARG UNUSED=Not\nFROM alpine",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
    }

    #[test]
    fn the_first_base_image_is_told() {
        let base = |text: &str| check(text, &ImageBuild::default()).unwrap();
        let named = |image: &str, is_special| {
            let image = image.to_owned();
            Some(Base { image, is_special })
        };
        assert_eq!(base("FROM a:1 AS b\nFROM c"), named("a:1", false));
        assert_eq!(
            base("ARG V=2\nFROM r.example/a:$V"),
            named("r.example/a:2", false)
        );
        assert_eq!(base("FROM --platform=linux/arm64 a"), named("a", true));
        assert_eq!(base("FROM a:${TARGETARCH}"), None);
    }

    #[test]
    fn what_an_engine_would_refuse_is_refused_before() {
        for (bad, expected) in [
            ("", "it has no instructions"),
            ("\n# only a comment\n", "it has no instructions"),
            ("RUN true", "neither FROM nor ARG"),
            ("<html>", "neither FROM nor ARG"),
            ("ARG A=b\nRUN true", "there can only be ARG"),
            ("ARG A=b", "it has no FROM"),
            ("FROM", "names no image"),
            ("FROM --platform=linux/amd64", "names no image"),
            ("FROM Alpine", "\"Alpine\" is not the name of an image"),
            ("FROM a:b:c", "is not the name"),
            ("FROM alpine:", "is not the name"),
            ("FROM https://example.org/a", "is not the name"),
            ("ARG V=-x\nFROM alpine:$V", "\"alpine:-x\" is not the name"),
            (
                "ARG GIVEN=alpine\nFROM $GIVEN",
                "\"Not Valid\" is not the name",
            ),
            ("FROM ${A:-B}", "\"B\" is not the name"),
        ] {
            let said = problem(bad).unwrap_or_default();
            assert!(said.contains(expected), "{bad}: {said}");
        }
    }
}
