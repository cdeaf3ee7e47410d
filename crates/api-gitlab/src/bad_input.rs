//! Invalid requests, before an API has chosen its own words for the error.

/// Why a request could not be read.
#[derive(Debug)]
pub(crate) enum BadInput {
    /// The request is not in the expected format; the text says what was expected.
    Unreadable(String),
    TooLarge,
    /// An upload is not a form.
    NoForm,
}
