//! Bounds of memory and work.

use super::*;
use crate::search::stream::MAX_HELD_BACK;

/// A text of `length` random characters.
fn random(length: usize, seed: u64) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(letters[(state >> 40) as usize % 64])
    };
    (0..length).map(|_| next()).collect()
}

/// Masks a text in pieces of `size` bytes. Returns what is shown, and the most that was held back.
fn masked_in(secrets: &Secrets, text: &str, size: usize) -> (String, usize) {
    let mut masker = Masker::new(secrets.clone());
    let (mut shown, mut most) = (Vec::new(), 0);
    for piece in text.as_bytes().chunks(size) {
        masker.push(piece, &mut shown);
        most = most.max(masker.held_back());
    }
    masker.finish(&mut shown);
    (String::from_utf8(shown).unwrap(), most)
}

#[test]
fn little_is_held_back_for_secrets_of_any_size() {
    let long: Vec<String> = (1..=60).map(|seed| random(64 * 1024, seed)).collect();
    let secrets = Secrets::new(long.iter().map(String::as_str));
    let text = format!("a {} b\n{}", long[3], &long[7][..20_000]);
    for size in [1, 100, 5000, 1 << 20] {
        let (shown, most) = masked_in(&secrets, &text, size);
        assert_eq!(shown, "a [MASKED] b\n[MASKED]", "{size}");
        assert!(most as u64 <= MAX_HELD_BACK + 64, "{size}: {most}");
    }
    let encoded: String = long[5].bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (shown, most) = masked_in(&secrets, &format!("a {encoded} b\n"), 1000);
    assert_eq!(shown, "a [MASKED] b\n");
    assert!(most as u64 <= MAX_HELD_BACK + 1000, "{most}");
}

#[test]
fn a_part_of_a_long_secret_is_shown_if_it_is_short() {
    let secret = random(64 * 1024, 1);
    let text = format!("{} b\n", &secret[..4000]);
    let secrets = Secrets::new([secret.as_str()]);
    assert_eq!(masked_in(&secrets, &text, 100).0, text);
}

#[test]
fn endless_overlapping_secrets_get_one_mask_and_little_is_held_back() {
    let mut masker = Masker::new(Secrets::new(["aaaa"]));
    let mut shown = Vec::new();
    for _ in 0..1000 {
        masker.push(b"aaaaa", &mut shown);
        assert!(masker.held_back() < 16);
    }
    masker.push(b"b", &mut shown);
    masker.finish(&mut shown);
    assert_eq!(shown, b"[MASKED]b");
}

#[test]
fn output_that_costs_too_much_is_masked_up_to_the_end_of_the_line() {
    let same: Vec<String> = (0..60).map(|n| "a".repeat(60_000 + n)).collect();
    let secrets = Secrets::new(same.iter().map(String::as_str));
    let text = format!("before\n{}b\nafter\n", "a".repeat(200_000));
    for size in [1000, 1 << 20] {
        let (shown, most) = masked_in(&secrets, &text, size);
        assert!(!shown.contains("aaaaaaaaa"), "{size}");
        assert!(shown.ends_with("\nafter\n"), "{size}: {shown}");
        assert!(most < 128 * 1024, "{size}: {most}");
    }
    // The same for characters that can be read in many ways.
    let slashes = "\\".repeat(30_000);
    let quotes = "'".repeat(30_000);
    let secrets = Secrets::new([slashes.as_str(), quotes.as_str()]);
    for part in [&slashes, &quotes] {
        let (shown, _) = masked_in(&secrets, &format!("{part}{part}\nafter\n"), 700);
        assert!(!shown.contains(&part[..16]), "{shown}");
        assert!(shown.ends_with("\nafter\n"), "{shown}");
    }
}

#[test]
fn everything_is_masked_if_there_are_too_many_secrets() {
    let large = random(65 << 20, 1);
    let secrets = Secrets::new([large.as_str()]);
    assert!(secrets.mask_everything());
    assert_eq!(masked_in(&secrets, "a b c", 1).0, "[MASKED]");
    assert!(!Secrets::new(["abcd"]).mask_everything());
}

#[test]
fn a_secret_with_many_lines_is_masked_line_by_line() {
    let lines: Vec<String> = (0..20_000).map(|seed| random(10, seed + 1)).collect();
    let secrets = Secrets::new([lines.join("\n").as_str()]);
    let text = format!("x {} y\n", lines[12_345]);
    assert_eq!(masked_in(&secrets, &text, 7).0, "x [MASKED] y\n");
}
