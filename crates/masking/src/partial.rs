//! Finds the end of a text that could be the start of a pattern.

/// The number of bytes at the end of `text`, at most `longest`, with which a pattern in `patterns`
/// starts; 0 if there is none. `starts` decides whether a pattern starts with the bytes.
///
/// A stream must hold back these bytes: once they are shown, they cannot be hidden.
pub(crate) fn open_end(text: &[u8], longest: usize, is_start: impl Fn(&[u8]) -> bool) -> usize {
    let longest = longest.min(text.len());
    (1..=longest)
        .rev()
        .find(|count| text.get(text.len() - count..).is_some_and(&is_start))
        .unwrap_or(0)
}
