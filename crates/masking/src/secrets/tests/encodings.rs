//! Every encoding, as the tools write it.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;

/// What each tool prints for a secret. Base64 depends on what is around the secret; see
/// [`base64_at`].
pub(super) fn encoded(secret: &str) -> Vec<(&'static str, String)> {
    let each = |write: &dyn Fn(u8) -> String| secret.bytes().map(write).collect::<String>();
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let lower = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    let mixed = |byte: u8| match byte % 3 {
        0 => format!("%{byte:02x}"),
        1 => format!("%{byte:02X}"),
        _ if byte == b'%' || byte >= 0x80 => format!("%{byte:02x}"),
        _ => char::from(byte).to_string(),
    };
    let json = quoted_json(secret);
    let named = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;"];
    let decimal = ["&#38;", "&#60;", "&#62;", "&#34;", "&#039;"];
    let hexadecimal = ["&#x26;", "&#x3C;", "&#x3e;", "&#x22;", "&#x27;"];
    let mut all = vec![
        ("plain", secret.to_owned()),
        ("percent", percent.clone()),
        ("percent, lower", each(&lower)),
        ("percent, mixed", each(&mixed)),
        ("percent, twice", percent.replace('%', "%25")),
        ("percent, everything", each(&|byte| format!("%{byte:02x}"))),
        ("form", percent.replace("%20", "+")),
        ("json", json.clone()),
        ("json, slashes", json.replace('/', "\\/")),
        ("json, twice", quoted_json(&json)),
        ("json, three times", quoted_json(&quoted_json(&json))),
        ("json, only ascii", ascii_json(secret, false)),
        ("json, only escapes", ascii_json(secret, true)),
        ("html", html(secret, &named)),
        ("html, decimal", html(secret, &decimal)),
        ("html, hexadecimal", html(secret, &hexadecimal)),
        ("html, twice", html(&html(secret, &named), &decimal)),
        ("go", go(secret)),
        ("go, bytes", each(&|byte| format!("\\x{byte:02x}"))),
        ("octal", each(&|byte| format!("\\{byte:03o}"))),
        ("hex", each(&|byte| format!("{byte:02x}"))),
        ("hex, upper", each(&|byte| format!("{byte:02X}"))),
        (
            "hex, spaces",
            each(&|byte| format!("{byte:02x} ")).trim_end().to_owned(),
        ),
        (
            "hex, colons",
            each(&|byte| format!("{byte:02X}:"))
                .trim_end_matches(':')
                .to_owned(),
        ),
        ("bash", secret.replace('\'', "'\\''")),
        ("ash", ash(secret)),
        ("printf %q", shell_words(secret)),
        ("terminal", secret.replace('\n', "\r\n")),
        ("words", secret.replace('\n', " ")),
    ];
    if secret.is_ascii() {
        let ansi_c = go(secret).replace('\'', "\\'").replace("\\\"", "\"");
        all.push(("ansi-c", ansi_c));
    }
    all
}

/// The base64 text of `before`, `secret` and `after` in both alphabets, and which part of it is the
/// secret alone.
pub(super) fn base64_at(before: &str, secret: &str, after: &str) -> [(String, Range<usize>); 2] {
    let whole = format!("{before}{secret}{after}");
    let start = (before.len() * 8).div_ceil(6);
    let end = (before.len() + secret.len()) * 8 / 6;
    [STANDARD.encode(&whole), URL_SAFE.encode(&whole)].map(|text| (text, start..end))
}

/// A masked text without the quotes of a shell around the mask.
pub(super) fn without_quotes(shown: &str) -> String {
    shown.replace("'\"[", "[").replace("]\"'", "]")
}

fn quoted_json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

fn ascii_json(text: &str, is_everything: bool) -> String {
    let unit = |unit: u16| match char::from_u32(u32::from(unit)) {
        Some(c) if (' '..='~').contains(&c) && !is_everything && c != '"' && c != '\\' => {
            c.to_string()
        }
        _ => format!("\\u{unit:04x}"),
    };
    text.encode_utf16().map(unit).collect()
}

fn html(text: &str, entities: &[&str; 5]) -> String {
    let entity = |c: char| match "&<>\"'".find(c) {
        Some(at) => entities[at].to_owned(),
        None => c.to_string(),
    };
    text.chars().map(entity).collect()
}

fn go(text: &str) -> String {
    let quoted = |c: char| match c {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        '\x07' => "\\a".to_owned(),
        '"' | '\\' => format!("\\{c}"),
        ' '..='~' => c.to_string(),
        _ if (c as u32) < 0x80 => format!("\\x{:02x}", c as u32),
        _ if (c as u32) < 0x10000 => format!("\\u{:04x}", c as u32),
        _ => format!("\\U{:08x}", c as u32),
    };
    text.chars().map(quoted).collect()
}

/// BusyBox writes a run of quotes in quotes of the other kind.
fn ash(text: &str) -> String {
    let mut quoted = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('\'') {
        let after = rest[start..].trim_start_matches('\'');
        let quotes = &rest[start..rest.len() - after.len()];
        quoted += &format!("{}'\"{quotes}\"'", &rest[..start]);
        rest = after;
    }
    quoted + rest
}

fn shell_words(text: &str) -> String {
    let word = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => c.to_string(),
        '\n' => "'$'\\n''".to_owned(),
        _ if c.is_ascii_control() || !c.is_ascii() => c.to_string(),
        _ => format!("\\{c}"),
    };
    let words: String = text.chars().map(word).collect();
    // Line breaks in a row are in the same quotes.
    words.replace("'''$'", "")
}

const SECRETS: [&str; 13] = [
    "p@ss \"word/1",
    "'quoted'",
    "it's <b>&amp;</b>",
    "100%25+50%",
    "back\\slash\\n",
    "two\nshort\nlines",
    "an\n\nempty line",
    "tab\tand\x07bell",
    "schlüssel-😀-€",
    "a+b/c=d?e&f",
    "%41%42%43%44",
    "abcd",
    "\\\\\\\\\"\"\"\"",
];

#[test]
fn every_encoding_is_masked_and_what_is_around_it_is_shown() {
    for secret in SECRETS {
        for (name, form) in encoded(secret) {
            let shown = masked(&[secret], &[format!("x={form};y").as_bytes()]);
            assert_eq!(
                without_quotes(&shown),
                "x=[MASKED];y",
                "{secret:?} as {name}: {form}"
            );
        }
    }
}

#[test]
fn every_encoding_is_masked_byte_by_byte() {
    for secret in SECRETS {
        for (name, form) in encoded(secret) {
            let text = format!("x={form};y");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            let shown = masked(&[secret], &bytes);
            assert_eq!(
                without_quotes(&shown),
                "x=[MASKED];y",
                "{secret:?} as {name}: {form}"
            );
        }
    }
}

#[test]
fn base64_is_masked_at_each_alignment() {
    for secret in SECRETS {
        for before in ["", "a", "ab", "abc", "user:"] {
            for (text, range) in base64_at(before, secret, ":rest") {
                let shown = masked(&[secret], &[text.as_bytes()]);
                let expected = format!("{}[MASKED]{}", &text[..range.start], &text[range.end..]);
                assert_eq!(shown, expected, "{before}{secret:?}");
            }
        }
        let unpadded = STANDARD_NO_PAD.encode(secret);
        let escaped = utf8_percent_encode(&unpadded, NON_ALPHANUMERIC).to_string();
        assert!(masked(&[secret], &[escaped.as_bytes()]).starts_with("[MASKED]"));
    }
}

/// The longest part of a masked text that is visible in one line, without its prefix.
fn longest_visible(shown: &str, prefix: &str) -> usize {
    let parts = shown.replace("[MASKED]", "\n");
    let parts = parts
        .lines()
        .map(|part| part.trim_start_matches(prefix).len());
    parts.max().unwrap_or(0)
}

#[test]
fn a_long_secret_is_masked_in_wrapped_text() {
    let secret: String = (0..500u32)
        .map(|n| char::from(b'!' + (n * 7 % 90) as u8))
        .collect();
    let (just_before, further_before) = ("-".repeat(42), "-".repeat(47));
    for before in [
        "",
        "n:",
        "name:secret",
        "a longer prefix",
        &just_before,
        &further_before,
    ] {
        let whole = format!("{before}{secret}");
        let hex: String = whole.bytes().map(|byte| format!("{byte:02x}")).collect();
        for (form, of_before) in [
            (STANDARD.encode(&whole), before.len().div_ceil(3) * 4),
            (hex, before.len() * 2),
        ] {
            for columns in [60, 64, 76] {
                let lines: Vec<&str> = form
                    .as_bytes()
                    .chunks(columns)
                    .map(|line| std::str::from_utf8(line).unwrap())
                    .collect();
                for prefix in ["#2 ", "", "    ", "2026-11-30T09:16:59Z web-1  | "] {
                    let text = format!("{prefix}{}\n", lines.join(&format!("\n{prefix}")));
                    let shown = masked(&[&secret], &[text.as_bytes()]);
                    // A few characters right before a line break may be visible.
                    let longest = longest_visible(&shown, prefix);
                    assert!(
                        longest <= (of_before + 8).min(columns),
                        "{before} {columns}: {shown}"
                    );
                    let by_line: Vec<&[u8]> =
                        text.as_bytes().split_inclusive(|b| *b == b'\n').collect();
                    assert_eq!(masked(&[&secret], &by_line), shown);
                }
                let apart = lines.join("\n#3 unrelated output of another step\n#2 ");
                let shown = masked(&[&secret], &[format!("#2 {apart}\n").as_bytes()]);
                for line in &lines[of_before / columns + 1..lines.len() - 1] {
                    assert!(!shown.contains(line), "{before} {columns}: {shown}");
                }
                let others = shown.matches("unrelated output of another step\n").count();
                assert_eq!(others, lines.len() - 1, "{before} {columns}: {shown}");
            }
        }
    }
}

#[test]
fn a_secret_is_masked_in_what_shells_trace() {
    for (secret, text) in [
        ("it's secret", "+ echo 'it'\\''s secret'\n"),
        ("it's secret", "+ echo 'it'\"'\"'s secret'\n"),
        ("'quoted' word", "+ echo ''\\''quoted'\\'' word'\n"),
        ("'quoted' word", "+ echo \\''quoted'\\'' word'\n"),
        ("'quoted' word", "+ echo ''\"'\"'quoted'\"'\"' word'\n"),
        ("two\nlines", "+ echo $'two\\nlines'\n"),
        ("two\nlines", "+ echo 'two'$'\\n''lines'\n"),
        ("a b$c`d", "+ echo a\\ b\\$c\\`d\n"),
        ("a b$c`d\"e", "+ echo \"a b\\$c\\`d\\\"e\"\n"),
    ] {
        let shown = masked(&[secret], &[text.as_bytes()]);
        let rest = shown.replace("[MASKED]", "");
        let rest = rest
            .trim_start_matches("+ echo ")
            .trim_matches(['\'', '"', '$', '\\', '\n']);
        assert!(
            shown.contains("[MASKED]") && rest.is_empty(),
            "{text}{shown}"
        );
    }
}
