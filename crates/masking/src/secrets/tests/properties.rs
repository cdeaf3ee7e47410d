//! What is true of any secrets, any output and any pieces.

use proptest::prelude::*;

use super::encodings::{base64_at, encoded, without_quotes};
use super::*;

/// Cuts a text at these places, modulo its length.
fn cut<'a>(text: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.push(text.len());
    cuts.sort_unstable();
    let mut from = 0;
    let piece = |to: usize| &text[std::mem::replace(&mut from, to)..to];
    cuts.into_iter().map(piece).collect()
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..8)
}

/// A secret with characters that encoders treat differently.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{4,40}",
        "[a-zA-Z0-9+/_-]{4,40}",
        "[%&'\"\\\\+ <>/a-c]{4,12}",
        "[ -~üß€😀\n\t]{6,30}",
    ]
    .prop_map(|secret| secret.trim_ascii().to_owned())
    .prop_filter("too short", |secret| secret.len() >= 4)
}

proptest! {
    #[test]
    fn every_cut_of_the_stream_gives_the_same_masked_text(
        secrets in prop::collection::vec("[ab]{4,7}", 1..4),
        noise in "[abc]{0,30}",
        chosen in 0usize..4,
        cuts in cuts(),
    ) {
        let secret = &secrets[chosen % secrets.len()];
        let text = format!("{noise}{secret}{noise}");
        let all: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let shown = masked(&all, &cut(text.as_bytes(), &cuts));
        for secret in &all {
            prop_assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        prop_assert_eq!(shown, masked(&all, &[text.as_bytes()]));
    }

    #[test]
    fn any_secret_in_any_encoding_is_masked_however_it_is_cut(
        secret in secret(),
        others in prop::collection::vec(secret(), 0..4),
        cuts in cuts(),
    ) {
        let mut all: Vec<&str> = others.iter().map(String::as_str).collect();
        all.push(&secret);
        for (name, form) in encoded(&secret) {
            let text = format!("<|{form}|>\n");
            let shown = masked(&all, &cut(text.as_bytes(), &cuts));
            let whole = masked(&all, &[text.as_bytes()]);
            prop_assert_eq!(&shown, &whole, "{}: {}", name, text);
            prop_assert!(shown.contains("[MASKED]"), "{name}: {text}");
            if others.is_empty() {
                prop_assert_eq!(without_quotes(&shown), "<|[MASKED]|>\n", "{}: {}", name, text);
            }
        }
    }

    #[test]
    fn any_secret_in_base64_is_masked_at_any_alignment_however_it_is_cut(
        secret in secret(),
        before in "[a-z]{0,5}",
        after in "[a-z]{0,5}",
        cuts in cuts(),
    ) {
        for (text, range) in base64_at(&before, &secret, &after) {
            let shown = masked(&[&secret], &cut(text.as_bytes(), &cuts));
            let expected = format!("{}[MASKED]{}", &text[..range.start], &text[range.end..]);
            prop_assert_eq!(shown, expected);
        }
    }

    #[test]
    fn output_without_secrets_is_unchanged(
        secrets in prop::collection::vec("[A-Z]{8,40}", 0..20),
        output in prop::collection::vec(any::<u8>(), 0..2000),
        cuts in cuts(),
    ) {
        let output: Vec<u8> = output.into_iter().map(|byte| byte.to_ascii_lowercase()).collect();
        let all = secrets.iter().map(String::as_str);
        let mut masker = Masker::new(Secrets::new(all));
        let mut shown = Vec::new();
        for piece in cut(&output, &cuts) {
            masker.push(piece, &mut shown);
        }
        masker.finish(&mut shown);
        prop_assert_eq!(shown, output);
    }

    #[test]
    fn output_that_almost_contains_a_secret_is_unchanged(
        secret in "[a-z]{6,11}",
        at in any::<usize>(),
        cuts in cuts(),
    ) {
        // One letter is another one.
        let mut other = secret.clone().into_bytes();
        let at = at % other.len();
        other[at] ^= 1;
        let other = String::from_utf8(other).unwrap();
        for (_, form) in encoded(&other) {
            let text = format!("({form})\n");
            prop_assert_eq!(masked(&[&secret], &cut(text.as_bytes(), &cuts)), text);
        }
    }

    #[test]
    fn complete_lines_are_passed_on_at_once(
        secrets in prop::collection::vec("[ -~]{6,40}", 1..20),
        lines in prop::collection::vec("[ -~]{0,80}", 1..20),
    ) {
        let mut masker = Masker::new(Secrets::new(secrets.iter().map(String::as_str)));
        for line in lines {
            push(&mut masker, &format!("{line}\n"));
            prop_assert_eq!(masker.held_back(), 0);
        }
    }
}
