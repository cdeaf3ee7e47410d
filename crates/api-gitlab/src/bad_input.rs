//! What is wrong with the form of a request, before any protocol has a word for it.

/// Why a request could not be read. Each protocol says it in its own words.
#[derive(Debug)]
pub(crate) enum BadInput {
    /// It is not what was expected; the sentence says what that was.
    Unreadable(String),
    /// It is longer than is read.
    TooLarge,
    /// It is no form with a file.
    NoForm,
}
