//! Names of entries: which are accepted, and how they are shown.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::limits::UnpackLimits;

/// The most characters of a name that a message shows.
const MAX_SHOWN: usize = 120;
/// The longest name that a directory can hold, in bytes.
const MAX_PART: usize = 255;

/// Where in the tree an entry belongs: names of directories, and its own. None for the root.
pub(super) type Parts = Vec<OsString>;

/// The parts of a name in a tar archive.
///
/// A backslash is a character like others there, unless it would lead out of the directory on a
/// system where it separates.
pub(super) fn of_tar(name: &[u8], limits: &UnpackLimits) -> Result<Parts, &'static str> {
    let mut other = name.split(|&byte| byte == b'\\' || byte == b'/');
    if name.starts_with(b"\\") || other.any(|part| part == b"..") {
        return Err(LEADS_OUT);
    }
    parts(name, limits)
}

/// The parts of a name in a zip archive, where slashes separate and backslashes are a mistake.
pub(super) fn of_zip(name: &[u8], limits: &UnpackLimits) -> Result<Parts, &'static str> {
    match name.contains(&b'\\') {
        true => Err("has a backslash in its name; make the archive with forward slashes"),
        false => parts(name, limits),
    }
}

const LEADS_OUT: &str = "leads out of the directory";

fn parts(name: &[u8], limits: &UnpackLimits) -> Result<Parts, &'static str> {
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
    if let [letter, b':', ..] = name
        && letter.is_ascii_alphabetic()
    {
        return Err("begins with a drive letter");
    }
    let mut parts = Parts::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(LEADS_OUT),
            part if part.len() > MAX_PART => return Err("has a name that is too long"),
            part => parts.push(OsString::from_vec(part.to_vec())),
        }
    }
    match parts.len() > limits.depth {
        true => Err("is too many directories deep"),
        false => Ok(parts),
    }
}

/// A name as a message shows it.
pub(super) fn shown(name: &[u8]) -> String {
    // What is cut off here is more than is ever shown.
    let name = &name[..name.len().min(4 * MAX_SHOWN)];
    let text = String::from_utf8_lossy(name);
    let clean = |c: char| match c {
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

/// Characters that change how what follows them is shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_and_stay_inside() {
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
    }

    #[test]
    fn names_in_messages_are_short_and_clean() {
        assert_eq!(shown(b"a\x1b[2J\nb\"c"), "a\u{fffd}[2J\u{fffd}b'c");
        assert_eq!(shown("x\u{202e}y".as_bytes()), "x\u{fffd}y");
        assert_eq!(shown(&[0xff, b'a']), "\u{fffd}a");
        assert_eq!(shown(&[b'x'; 5000]).chars().count(), MAX_SHOWN + 1);
    }
}
