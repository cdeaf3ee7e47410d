//! Masks arbitrary secrets in an arbitrary text, with both maskers.
//!
//! The first byte of an input is the length of the pieces in which the text arrives. The rest is parts
//! that are separated by NUL: secrets, and at last the text.

use slipway_masking::in_place::Mask;
use slipway_masking::secrets::Secrets;

/// The shortest secret that is checked, in bytes. Shorter ones need not be masked.
const MIN_SECRET: usize = 8;

/// No secret is left in the output, which depends on the pieces in the first byte of a secret at most.
pub(crate) fn run(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else {
        return;
    };
    let parts: Vec<&[u8]> = rest.split(|byte| *byte == 0).collect();
    let Some((text, secrets)) = parts.split_last() else {
        return;
    };
    let secrets: Vec<&str> = secrets
        .iter()
        .filter_map(|secret| str::from_utf8(secret).ok())
        .collect();

    let pieces = usize::from(*length).max(1);
    let hidden = hide(&secrets, &mut text.chunks(pieces));
    let whole = hide(&secrets, &mut std::iter::once(*text));
    assert_eq!(hidden.len(), text.len());
    assert_eq!(whole.len(), text.len());
    let differs: Vec<bool> = hidden.iter().zip(&whole).map(|(a, b)| a != b).collect();
    // A live reader gets the last byte of a piece at once, even if a secret may begin with it.
    assert!(!differs.windows(2).any(|two| two == [true, true]));
    for (at, _) in differs.iter().enumerate().filter(|(_, differs)| **differs) {
        assert_eq!((hidden[at], whole[at]), (text[at], b'x'), "at {at}");
    }
    for secret in checked(&secrets, "x") {
        assert!(!contains(&hidden, secret.as_bytes()), "{secret:?} is left");
    }

    let masked = Secrets::new(secrets.iter().copied()).mask(&String::from_utf8_lossy(text));
    for secret in checked(&secrets, "[MASKED]") {
        assert!(!masked.contains(secret), "{secret:?} is left in {masked:?}");
    }
}

/// The output of the masker that keeps lengths.
fn hide(secrets: &[&str], pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<u8> {
    let mut window = Mask::new(secrets.iter().copied()).window(0);
    let mut hidden = Vec::new();
    for piece in pieces {
        hidden.extend_from_slice(&window.take(piece));
    }
    hidden.extend_from_slice(&window.finish().1);
    hidden
}

/// The secrets that must not be in an output with `masks`: a mask and the text beside it may happen to
/// form a secret that contains characters of the mask.
fn checked<'a>(secrets: &[&'a str], masks: &str) -> impl Iterator<Item = &'a str> {
    secrets.iter().copied().filter(move |secret| {
        secret.trim().len() >= MIN_SECRET
            && !secret.contains(|one: char| masks.contains(one) || one == '\n' || one == '\r')
    })
}

fn contains(text: &[u8], secret: &[u8]) -> bool {
    text.windows(secret.len()).any(|part| part == secret)
}
