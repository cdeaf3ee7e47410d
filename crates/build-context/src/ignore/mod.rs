//! `.dockerignore`: which files of a context are ignored, by the rules of today's Docker.
//!
//! The last pattern that matches a path, or that matched a directory above it, decides. A pattern
//! with `!` is an exception: it includes a path again. Whether a pattern matched a directory is
//! known only if the pattern could change the result there, and what is not known is not looked up
//! later: `build`, `!build/out`, `**/build` includes `build/out`. Docker's client walks a context in
//! the same way (`docs/decisions/0031-ignore-files-as-docker-does.md`).
//!
//! Matching takes time proportional to the length of the pattern times the length of the path, even
//! for hostile patterns.

mod lines;
mod pattern;
mod regex;
#[cfg(test)]
mod tests;
mod translate;

use self::pattern::{Pattern, Subject};

/// Why a list of patterns cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IgnoreError {
    #[error("illegal exclusion pattern: \"!\"")]
    LoneExclamationMark,
    #[error("syntax error in pattern \"{0}\"")]
    Syntax(String),
    #[error("line {0} is longer than 64 KiB")]
    LongLine(usize),
}

/// The patterns of one `.dockerignore` file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
}

/// Which patterns matched a directory or one above it, as far as it was looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matched(Vec<bool>);

impl Ignore {
    /// Reads the content of a `.dockerignore` file.
    pub(crate) fn parse(content: &[u8]) -> Result<Self, IgnoreError> {
        let lines = lines::patterns(content)?;
        let patterns = lines.iter().map(|line| Pattern::parse(line));
        let patterns: Result<Vec<_>, _> = patterns.filter_map(Result::transpose).collect();
        Ok(Self {
            patterns: patterns?,
        })
    }

    /// Whether the file or directory at `path` is ignored, and what is known of the patterns below
    /// it. The path is relative to the context; `above` is the result for its directory.
    pub(crate) fn judge(
        &self,
        path: &[u8],
        above: &Matched,
    ) -> Result<(bool, Matched), IgnoreError> {
        let subject = Subject::new(path);
        let mut is_ignored = false;
        let mut known = vec![false; self.patterns.len()];
        for (at, pattern) in self.patterns.iter().enumerate() {
            let matched_above = above.0.get(at).copied().unwrap_or(false);
            // A pattern that would not change the result is not looked up.
            if !matched_above && pattern.is_exception() != is_ignored {
                continue;
            }
            if matched_above || pattern.matches(&subject)? {
                known[at] = true;
                is_ignored = !pattern.is_exception();
            }
        }
        Ok((is_ignored, Matched(known)))
    }

    /// Whether the ignored directory `dir` is searched for exceptions.
    pub(crate) fn searches(&self, dir: &[u8]) -> bool {
        let mut exceptions = self.patterns.iter().filter(|one| one.is_exception());
        // An exception with a wildcard may match anywhere.
        let anywhere = exceptions.clone().any(|one| one.plain_start().is_none());
        let dir = [dir, b"/"].concat();
        anywhere
            || exceptions.any(|one| {
                let start = one.plain_start().map(|start| [start, b"/"].concat());
                start.is_some_and(|start| start.starts_with(&dir))
            })
    }

    /// Whether a pattern is wrong in a way that shows only when it is used.
    pub(crate) fn has_invalid(&self) -> bool {
        self.patterns.iter().any(Pattern::is_invalid)
    }
}
