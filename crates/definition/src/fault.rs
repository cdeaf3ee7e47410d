//! What is wrong with a file, and where.

use std::fmt;

/// A place in the file; both numbers begin with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    pub(crate) const START: Place = Place { line: 1, column: 1 };

    /// Says what is wrong here.
    pub(crate) fn fault(self, what: impl fmt::Display) -> Fault {
        Fault {
            place: self,
            what: what.to_string(),
        }
    }

    /// Says that what a rule of the domain refuses is here.
    pub(crate) fn check<T>(self, result: Result<T, impl fmt::Display>) -> Result<T, Fault> {
        result.map_err(|error| self.fault(error))
    }
}

/// What is wrong with a file: one sentence, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        write!(
            f,
            "{}, line {line}, column {column}: {}",
            crate::FILE,
            self.what
        )
    }
}

impl std::error::Error for Fault {}

/// The end of a sentence about a word that is none of `known`: the nearest one, if any is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let far = word.chars().count().clamp(3, 9) / 3;
    let near = known
        .into_iter()
        .map(|one| (strsim::damerau_levenshtein(word, one), one))
        .filter(|(distance, _)| *distance <= far)
        .min();
    near.map(|(_, one)| format!("; did you mean {one:?}?"))
        .unwrap_or_default()
}
