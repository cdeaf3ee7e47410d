//! Errors with their position in the file.

use std::fmt;

/// The path of the file, relative to the root of the repository.
pub const FILE: &str = ".slipway.yml";

/// A position in the file. Both numbers start at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    /// In characters, not bytes.
    pub column: usize,
}

impl Position {
    pub(crate) const START: Position = Position { line: 1, column: 1 };

    /// Creates an error at this position.
    pub(crate) fn error(self, message: impl fmt::Display) -> ParseError {
        ParseError {
            position: self,
            message: message.to_string(),
        }
    }

    /// Turns an error of a domain rule into an error at this position.
    pub(crate) fn check<T>(self, result: Result<T, impl fmt::Display>) -> Result<T, ParseError> {
        result.map_err(|error| self.error(error))
    }
}

/// Why a file is invalid, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub position: Position,
    /// One line without a full stop.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(f, "{FILE}, line {line}, column {column}: {}", self.message)
    }
}

impl std::error::Error for ParseError {}

/// Returns `; did you mean "…"?` with the known word closest to `word`, or nothing if none is close.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // One typo per three characters, so that short words do not match everything.
    let max_distance = word.chars().count().clamp(3, 9) / 3;
    let closest = known
        .into_iter()
        .map(|one| (strsim::damerau_levenshtein(word, one), one))
        .filter(|(distance, _)| *distance <= max_distance)
        .min();
    closest
        .map(|(_, one)| format!("; did you mean {one:?}?"))
        .unwrap_or_default()
}
