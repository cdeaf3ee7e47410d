use super::*;
use proptest::prelude::*;

fn masked(secrets: &[&str], pieces: &[&[u8]]) -> String {
    let mut masker = Masker::new(Secrets::new(secrets.iter().copied()));
    let mut shown: Vec<u8> = pieces.iter().flat_map(|piece| masker.push(piece)).collect();
    shown.extend(masker.finish());
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn a_secret_is_masked_in_every_form() {
    let secret = "p@ss \"word/1";
    for form in [
        secret.to_owned(),
        "p%40ss%20%22word%2F1".to_owned(),
        "p%40ss%20%22word%2f1".to_owned(),
        "p@ss \\\"word/1".to_owned(),
        STANDARD.encode(secret),
    ] {
        let shown = masked(&[secret], &[format!("x {form} y").as_bytes()]);
        assert!(shown.starts_with("x [MASKED]"), "{form}: {shown}");
        assert!(shown.ends_with(" y"), "{form}: {shown}");
    }
    for user in ["", "a", "ab", "abc"] {
        let login = STANDARD.encode(format!("{user}:{secret}:rest"));
        let shown = masked(&[secret], &[login.as_bytes()]);
        assert!(shown.contains("[MASKED]"), "{user}: {shown}");
    }
}

#[test]
fn overlapping_secrets_get_one_mask() {
    assert_eq!(masked(&["abcd", "cdef"], &[b"-abcdef-"]), "-[MASKED]-");
    assert_eq!(
        masked(&["abcd", "abcdefgh"], &[b"abcde", b"fgh"]),
        "[MASKED]"
    );
    assert_eq!(
        masked(&["abcd", "abcdefgh"], &[b"abcde", b"fgx"]),
        "[MASKED]efgx"
    );
}

#[test]
fn each_line_of_a_key_is_masked() {
    let key = "-----BEGIN-----\nMIIabcdefgh\nMIIijklmnop\n-----END-----\n";
    let shown = masked(&[key], &[b"#4 MIIabcdefgh\n#4 MIIijklmnop\n"]);
    assert_eq!(shown, "#4 [MASKED]\n#4 [MASKED]\n");
}

#[test]
fn a_long_secret_is_masked_in_wrapped_base64() {
    let secret: String = (0..500u32)
        .map(|n| char::from(b'!' + (n * 7 % 90) as u8))
        .collect();
    for prefix in ["", "n:", "name:secret", "a longer prefix than that"] {
        for columns in [64, 76] {
            let whole = STANDARD.encode(format!("{prefix}{secret}"));
            let lines: Vec<&str> = whole
                .as_bytes()
                .chunks(columns)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            let text = format!("#2 {}\n", lines.join("\n#2 "));
            let shown = masked(&[&secret], &[text.as_bytes()]);
            let longest = shown
                .replace("[MASKED]", "\n")
                .lines()
                .map(|part| part.trim_start_matches("#2 ").len())
                .max();
            // The prefix may be visible, and the bytes that share a base64 letter with it.
            let visible = prefix.len().div_ceil(3) * 4 + 4;
            assert!(longest.unwrap() <= visible, "{prefix} {columns}: {shown}");
        }
    }
}

#[test]
fn bytes_that_cannot_start_a_secret_are_not_held_back() {
    let mut masker = Masker::new(Secrets::new(["secret"]));
    assert_eq!(masker.push(b"line\n"), b"line\n");
    assert_eq!(masker.push(b"x sec"), b"x ");
    assert_eq!(masker.push(b"ond\n"), b"second\n");
}

#[test]
fn endless_overlapping_secrets_get_one_mask_and_little_is_held_back() {
    let mut masker = Masker::new(Secrets::new(["aaaa"]));
    let mut shown = Vec::new();
    for _ in 0..1000 {
        shown.extend(masker.push(b"aaaaa"));
        assert!(masker.held_back.len() < 16);
    }
    shown.extend(masker.push(b"b"));
    assert_eq!(shown, b"[MASKED]b");
}

#[test]
fn short_values_are_not_masked() {
    assert_eq!(masked(&["abc", ""], &[b"abc"]), "abc");
    assert_eq!(masked(&[], &[b"abc"]), "abc");
}

proptest! {
    #[test]
    fn every_cut_of_the_stream_gives_the_same_masked_text(
        secrets in prop::collection::vec("[ab]{4,7}", 1..4),
        noise in "[abc]{0,30}",
        chosen in 0usize..4,
        cuts in prop::collection::vec(0usize..60, 0..6),
    ) {
        let secret = &secrets[chosen % secrets.len()];
        let text = format!("{noise}{secret}{noise}");
        let all: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let mut from = 0;
        let mut pieces = Vec::new();
        for cut in cuts {
            pieces.push(&text.as_bytes()[from..cut]);
            from = cut;
        }
        let shown = masked(&all, &pieces);
        for secret in &all {
            prop_assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        prop_assert_eq!(shown, masked(&all, &[text.as_bytes()]));
    }
}
