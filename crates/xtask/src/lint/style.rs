//! Finds phrases that the style guide in `docs/style.md` rules out.
//!
//! The list is short on purpose: each phrase is wrong in nearly every sentence of this project. It
//! does not replace reading what you wrote.

use anyhow::Result;

use super::{report, tracked};

/// This file names every phrase itself.
const EXEMPT: &str = "crates/xtask/src/lint/style.rs";

/// What is not written, and what is written instead.
const PHRASES: &[(&str, &str)] = &[
    ("a bed of", "describe the fixture"),
    ("are told", "name the message: report, send, print"),
    ("call off", "cancel"),
    ("called off", "canceled"),
    ("calls off", "cancels"),
    ("came to an end", "ended"),
    ("come to an end", "end"),
    ("comes to an end", "ends"),
    ("for want of", "without"),
    ("goes without", "has no"),
    ("hear of", "receive"),
    ("heard of", "received"),
    ("hears of", "receives"),
    ("in his stead", "instead"),
    ("in its stead", "instead"),
    ("in the stead", "instead of"),
    ("in their stead", "instead"),
    ("is told", "name the message: receives, is sent"),
    ("is to be had", "is available"),
    ("know nothing of", "do not know"),
    ("knows nothing of", "does not know"),
    ("knows of", "knows"),
    ("make away", "delete"),
    ("not to be had", "not available"),
    ("such a one", "repeat the noun"),
    ("that are none", "say what is missing or invalid"),
    ("that is none", "say what is missing or invalid"),
    ("to be had", "available"),
    ("was told", "name the message: received, was sent"),
    ("were told", "name the message: received, were sent"),
    ("whoever", "name the person or program"),
];

/// Checks every text file.
///
/// # Errors
/// If a phrase was found; every place is printed.
pub(super) async fn check() -> Result<()> {
    let mut findings = Vec::new();
    for file in tracked::text_files(&["rs", "md", "toml", "sql", "py", "sh", "env", "yml"]).await? {
        if file.path != EXEMPT {
            findings.extend(findings_in(&file.path, &file.text));
        }
    }
    report(&findings)
}

fn findings_in(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.to_lowercase();
        for (phrase, instead) in PHRASES {
            if has_words(&line, phrase) {
                let number = number + 1;
                findings.push(format!("{path}:{number}: \"{phrase}\": write: {instead}"));
            }
        }
    }
    findings
}

/// Whether `phrase` stands in `line` as whole words.
fn has_words(line: &str, phrase: &str) -> bool {
    line.match_indices(phrase).any(|(start, _)| {
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        let before = line[..start].chars().next_back();
        let after = line[start + phrase.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::findings_in;

    #[test]
    fn a_ruled_out_phrase_is_reported_with_its_place_and_a_replacement() {
        let findings = findings_in("a.rs", "fn main() {}\n// The build is Called off.\n");
        assert_eq!(findings, ["a.rs:2: \"called off\": write: canceled"]);
    }

    #[test]
    fn parts_of_other_words_are_not_reported() {
        assert!(findings_in("a.rs", "the axis nonexistent, his tolden").is_empty());
    }
}
