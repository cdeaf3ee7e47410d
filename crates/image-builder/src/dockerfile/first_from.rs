//! The first `FROM` of a Dockerfile.
//!
//! Only the instructions up to it are read. The engine parses the rest, and also decides about an
//! image name that depends on values which only the engine has.

use std::collections::HashMap;

use slipway_domain::ImageBuild;
use slipway_domain::image::is_reference;

use crate::error::BuildError;

/// The longest image name that an error message shows, in characters.
const MAX_SHOWN: usize = 100;

/// The image of the first `FROM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FirstFrom {
    /// The name with the values of its variables.
    pub(crate) image: String,
    /// Whether there are flags, such as `--platform`.
    pub(crate) has_flags: bool,
}

/// Refuses a Dockerfile that does not start with `FROM` and an image name after any number of `ARG`
/// instructions. Returns the image, or `None` if only the engine can resolve its name.
pub(crate) fn check(dockerfile: &str, spec: &ImageBuild) -> Result<Option<FirstFrom>, BuildError> {
    let mut args: HashMap<String, String> = HashMap::new();
    let mut is_first = true;
    for instruction in instructions(dockerfile) {
        let (word, rest) = split_word(&instruction);
        match word.to_ascii_uppercase().as_str() {
            "ARG" => args.extend(known_args(rest, spec)),
            "FROM" => return check_from(rest, &args),
            _ if is_first => return Err(invalid("its first instruction is neither FROM nor ARG")),
            _ => return Err(invalid("only ARG is allowed before the first FROM")),
        }
        is_first = false;
    }
    if is_first {
        Err(invalid("it has no instructions"))
    } else {
        Err(invalid("it has no FROM instruction"))
    }
}

fn invalid(detail: &str) -> BuildError {
    BuildError::DockerfileInvalid {
        detail: detail.to_owned(),
    }
}

/// The instructions, each joined into one line, without comments.
pub(super) fn instructions(text: &str) -> impl Iterator<Item = String> {
    let text = text.trim_start_matches('\u{feff}');
    let escape = escape_character(text);
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut instruction = String::new();
        for line in lines.by_ref() {
            let line = line.trim();
            // Comments and empty lines do not end an instruction that continues.
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.strip_suffix(escape) {
                Some(start) => instruction.push_str(start),
                None => {
                    instruction.push_str(line);
                    return Some(instruction);
                }
            }
        }
        (!instruction.trim().is_empty()).then_some(instruction)
    })
}

/// The character that continues an instruction in the next line. An `escape` directive may set it.
pub(super) fn escape_character(text: &str) -> char {
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

pub(super) fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// The values that an `ARG` instruction defines; build arguments override its defaults.
///
/// A default that uses other variables is left out, so its argument counts as unknown.
fn known_args(text: &str, spec: &ImageBuild) -> Vec<(String, String)> {
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

/// The value without its quotes; `None` unless it is plain text.
pub(super) fn unquoted(value: &str) -> Option<&str> {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    let value = inside('"').or_else(|| inside('\'')).unwrap_or(value);
    (!value.contains(['"', '\'', '$', '\\', '`'])).then_some(value)
}

fn check_from(text: &str, args: &HashMap<String, String>) -> Result<Option<FirstFrom>, BuildError> {
    let mut words = text
        .split_whitespace()
        .skip_while(|word| word.starts_with("--"));
    let Some(image) = words.next() else {
        return Err(invalid("its first FROM names no image"));
    };
    match substitute(image, args) {
        Some(name) if !is_reference(&name) => {
            let shown: String = name.chars().take(MAX_SHOWN).collect();
            let shown = shown.escape_debug();
            Err(invalid(&format!("\"{shown}\" is not an image name")))
        }
        // A name that is unknown here may still be valid for the engine.
        name => Ok(name.map(|image| FirstFrom {
            image,
            has_flags: text.starts_with("--"),
        })),
    }
}

/// Replaces the variables in a text; `None` if one of them is unknown here.
pub(super) fn substitute(text: &str, args: &HashMap<String, String>) -> Option<String> {
    if text.contains(['"', '\'', '\\', '`']) {
        return None;
    }
    let mut parts = text.split('$');
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (value, rest) = match part.strip_prefix('{') {
            // `${NAME}` or `${NAME:-default}`; other operators are left to the engine.
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
        result.push_str(value);
        result.push_str(rest);
    }
    Some(result)
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
    fn a_first_from_with_an_image_name_is_accepted() {
        for good in [
            "FROM scratch",
            "\u{feff}# syntax=docker/dockerfile:1\n\n  from alpine:3.20 AS build\nRUN x",
            "ARG V=3.20\nARG OTHER\nFROM alpine:${V}\n",
            "ARG V=\"3.20\" W='x'\nFROM r.example:5000/a/${W}:$V",
            "FROM --platform=$BUILDPLATFORM golang:1.22",
            "FROM \\\n# a comment\n\n  alpine",
            "# escape=`\nFROM `\n alpine",
            "FROM alpine@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            // Only the engine can resolve these names.
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
    fn the_image_of_the_first_from_is_returned() {
        let base = |text: &str| check(text, &ImageBuild::default()).unwrap();
        let named = |image: &str, has_flags| {
            let image = image.to_owned();
            Some(FirstFrom { image, has_flags })
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
    fn a_dockerfile_without_a_valid_first_from_is_refused() {
        for (bad, expected) in [
            ("", "it has no instructions"),
            ("\n# only a comment\n", "it has no instructions"),
            ("RUN true", "neither FROM nor ARG"),
            ("<html>", "neither FROM nor ARG"),
            ("ARG A=b\nRUN true", "only ARG is allowed"),
            ("ARG A=b", "it has no FROM"),
            ("FROM", "names no image"),
            ("FROM --platform=linux/amd64", "names no image"),
            ("FROM Alpine", "\"Alpine\" is not an image name"),
            ("FROM a:b:c", "is not an image name"),
            ("FROM alpine:", "is not an image name"),
            ("FROM https://example.org/a", "is not an image name"),
            (
                "ARG V=-x\nFROM alpine:$V",
                "\"alpine:-x\" is not an image name",
            ),
            (
                "ARG GIVEN=alpine\nFROM $GIVEN",
                "\"Not Valid\" is not an image name",
            ),
            ("FROM ${A:-B}", "\"B\" is not an image name"),
        ] {
            let message = problem(bad).unwrap_or_default();
            assert!(message.contains(expected), "{bad}: {message}");
        }
    }
}
