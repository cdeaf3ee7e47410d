use super::*;

mod encodings;
mod limits;
mod properties;

/// Masks a text that arrives in these pieces.
fn masked(secrets: &[&str], pieces: &[&[u8]]) -> String {
    let mut masker = Masker::new(Secrets::new(secrets.iter().copied()));
    let mut shown = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut shown);
    }
    masker.finish(&mut shown);
    String::from_utf8_lossy(&shown).into_owned()
}

fn push(masker: &mut Masker, piece: &str) -> String {
    let mut shown = Vec::new();
    masker.push(piece.as_bytes(), &mut shown);
    String::from_utf8(shown).unwrap()
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
    assert_eq!(masked(&["abcd"], &[b"abcdabcd"]), "[MASKED][MASKED]");
}

#[test]
fn each_line_of_a_key_is_masked() {
    let key = "-----BEGIN-----\nMIIabcdefgh\nMIIijklmnop\n-----END-----\n";
    let shown = masked(&[key], &[b"#4 MIIabcdefgh\n#4 MIIijklmnop\n"]);
    assert_eq!(shown, "#4 [MASKED]\n#4 [MASKED]\n");
}

#[test]
fn bytes_that_cannot_start_a_secret_are_not_held_back() {
    let mut masker = Masker::new(Secrets::new(["secret"]));
    assert_eq!(push(&mut masker, "line\n"), "line\n");
    assert_eq!(push(&mut masker, "x sec"), "x ");
    assert_eq!(push(&mut masker, "ond\n"), "second\n");
    for line in [
        "100% done\n",
        "C:\\dir\n",
        "a & b\n",
        "it's \"quoted\"\n",
        "%73ec\n",
    ] {
        assert_eq!(push(&mut masker, line), line);
    }
}

#[test]
fn short_values_are_not_masked() {
    assert_eq!(masked(&["abc", ""], &[b"abc"]), "abc");
    assert_eq!(masked(&[], &[b"abc"]), "abc");
}

#[test]
fn the_start_of_a_secret_at_the_end_of_the_output_is_masked() {
    let secret = "0123456789abcdefghij";
    assert_eq!(masked(&[secret], &[b"x 0123456789ab"]), "x [MASKED]");
    assert_eq!(masked(&[secret], &[b"x 01234567"]), "x 01234567");
}
