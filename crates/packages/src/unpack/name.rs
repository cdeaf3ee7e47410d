//! Names of archive entries: which are accepted, and how they are shown.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::limits::UnpackLimits;

/// The maximum number of characters of a name in a message.
const MAX_SHOWN: usize = 120;
/// The maximum length of a file name on Linux, in bytes.
const MAX_PART: usize = 255;

/// The path of an entry in the tree, as a list of names; empty for the root.
pub(super) type Parts = Vec<OsString>;

/// Splits a name in a tar archive.
///
/// A backslash is an ordinary character there, but is refused if it would lead out of the directory on
/// systems where it is a separator.
pub(super) fn of_tar(name: &[u8], limits: &UnpackLimits) -> Result<Parts, &'static str> {
    let mut other = name.split(|&byte| byte == b'\\' || byte == b'/');
    if name.starts_with(b"\\") || other.any(|part| part == b"..") {
        return Err(LEADS_OUT);
    }
    parts(name, limits)
}

/// Splits a name in a zip archive, where only slashes are separators and backslashes are refused.
pub(super) fn of_zip(name: &[u8], limits: &UnpackLimits) -> Result<Parts, &'static str> {
    if name.contains(&b'\\') {
        return Err("has a backslash in its name; create the archive with forward slashes");
    }
    parts(name, limits)
}

/// Splits a name in the archive of a job's files, where every byte but the slash is an ordinary
/// character.
pub(super) fn of_restored(name: &[u8], limits: &UnpackLimits) -> Result<Parts, &'static str> {
    split(name, limits)
}

const LEADS_OUT: &str = "leads out of the directory";

fn parts(name: &[u8], limits: &UnpackLimits) -> Result<Parts, &'static str> {
    // Such a name would be absolute on Windows.
    if let [letter, b':', ..] = name
        && letter.is_ascii_alphabetic()
    {
        return Err("begins with a drive letter");
    }
    split(name, limits)
}

fn split(name: &[u8], limits: &UnpackLimits) -> Result<Parts, &'static str> {
    if name.is_empty() {
        return Err("has no name");
    }
    if name.contains(&0) {
        return Err("has a NUL in its name");
    }
    if name.len() > limits.path {
        return Err("has a name that is too long");
    }
    if name.starts_with(b"/") {
        return Err("has an absolute name; names must be relative");
    }
    let mut parts = Parts::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            // `a//b` and `./a` are common and harmless.
            b"" | b"." => {}
            b".." => return Err(LEADS_OUT),
            part if part.len() > MAX_PART => return Err("has a name that is too long"),
            part => parts.push(OsString::from_vec(part.to_vec())),
        }
    }
    if parts.len() > limits.depth {
        return Err("is nested too deeply");
    }
    Ok(parts)
}

/// Formats a name for messages: shortened, and without control characters.
pub(super) fn shown(name: &[u8]) -> String {
    // A cheap limit before decoding: a character has at most four bytes.
    let name = &name[..name.len().min(4 * MAX_SHOWN)];
    let text = String::from_utf8_lossy(name);
    let clean = |c: char| match c {
        // Messages put the name in double quotes.
        '"' => '\'',
        c if c.is_control() || is_invisible(c) => '\u{fffd}',
        c => c,
    };
    let mut shown: String = text.chars().take(MAX_SHOWN).map(clean).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Returns true for invisible characters and those that change the text direction.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_names_that_stay_inside_are_accepted() {
        let limits = UnpackLimits {
            depth: 4,
            path: 300,
            ..UnpackLimits::default()
        };
        let tar = |name: &str| of_tar(name.as_bytes(), &limits).map(|parts| parts.len());
        for (name, depth) in [
            ("a", 1),
            ("./a/b/", 2),
            (".", 0),
            ("./", 0),
            ("a//./b", 2),
            ("a/b/c/d", 4),
            ("...", 1),
            ("..a/b..", 2),
            ("system-x\\x2dy.slice", 1),
        ] {
            assert_eq!(tar(name), Ok(depth), "{name}");
        }
        let long = format!("{}/{}", "x".repeat(255), "y".repeat(255));
        for name in [
            "",
            "/",
            "/etc/passwd",
            "//a",
            "..",
            "../a",
            "a/..",
            "a/../b",
            "a/b/c/d/e",
            "\\a",
            "..\\a",
            "a\\..\\..\\b",
            "a/..\\b",
            "C:\\a",
            "c:a",
            "a\0b",
            &long,
            &"x".repeat(256),
        ] {
            assert!(tar(name).is_err(), "{name:?}");
        }
        assert!(of_zip(b"a/b", &limits).is_ok());
        assert!(of_zip(b"a\\b", &limits).is_err());
        for name in ["a\\b", "\\a", "..\\a", "c:a", "C:\\a"] {
            let parts = of_restored(name.as_bytes(), &limits);
            assert_eq!(parts.map(|parts| parts.len()), Ok(1), "{name}");
        }
        assert_eq!(of_restored(b"\xff/\xfe", &limits).unwrap().len(), 2);
        for name in ["/a", "../a", "a/..", ""] {
            assert!(of_restored(name.as_bytes(), &limits).is_err(), "{name}");
        }
    }

    #[test]
    fn names_in_messages_are_short_and_printable() {
        assert_eq!(shown(b"a\x1b[2J\nb\"c"), "a\u{fffd}[2J\u{fffd}b'c");
        assert_eq!(shown("x\u{202e}y".as_bytes()), "x\u{fffd}y");
        assert_eq!(shown(&[0xff, b'a']), "\u{fffd}a");
        assert_eq!(shown(&[b'x'; 5000]).chars().count(), MAX_SHOWN + 1);
    }
}
