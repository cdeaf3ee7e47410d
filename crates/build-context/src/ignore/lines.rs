//! The lines of an ignore file, and the paths in them in their simplest form.

use super::IgnoreError;

/// The length from which a line is too long, in bytes, as for Docker.
const MAX_LINE: usize = 64 * 1024;
/// The mark with which some editors begin a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The patterns of the lines, without comments and empty lines. A pattern may still be invalid.
pub(super) fn patterns(content: &[u8]) -> Result<Vec<String>, IgnoreError> {
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    let mut patterns = Vec::new();
    for (at, line) in content.split(|byte| *byte == b'\n').enumerate() {
        if line.len() >= MAX_LINE {
            return Err(IgnoreError::LongLine(at + 1));
        }
        // Only a `#` in the first column begins a comment, so this comes before trimming.
        if line.starts_with(b"#") {
            continue;
        }
        let line = text(line);
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        patterns.push(match line.strip_prefix('!') {
            Some(rest) => format!("!{}", relative(rest.trim())),
            None => relative(line),
        });
    }
    Ok(patterns)
}

/// The text of a line. Each byte that is not UTF-8 becomes one replacement character.
fn text(line: &[u8]) -> String {
    let mut text = String::new();
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// The path of a pattern without the slash that means the root of the context.
fn relative(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let path = clean(path);
    match path.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => path,
    }
}

/// The shortest path with the same meaning: without `.`, duplicate slashes, and `..` after a name.
///
/// `.` if nothing is left, or `/` if the path begins with a slash.
pub(super) fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
            // Nothing is above the root.
            ".." if is_absolute => {}
            name => names.push(name),
        }
    }
    let names = names.join("/");
    match (is_absolute, names.is_empty()) {
        (true, _) => format!("/{names}"),
        (false, true) => ".".to_owned(),
        (false, false) => names,
    }
}
