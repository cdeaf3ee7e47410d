//! The numbers of passed, failed and skipped tests, parsed from the output of the test runners.

use std::fmt;
use std::ops::AddAssign;

/// Numbers of test results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// Reads the summary line of nextest, such as
    /// `Summary [   1.6s] 14 tests run: 13 passed (1 slow), 1 failed, 9 skipped`.
    pub(crate) fn from_nextest(line: &str) -> Option<Self> {
        let (before, outcomes) = line
            .trim_start()
            .strip_prefix("Summary")?
            .split_once(": ")?;
        let run = before.split_once(']')?.1.trim();
        let mut counts = Self::default();
        for outcome in without_remarks(outcomes).split(',') {
            let (number, word) = outcome.trim().split_once(' ')?;
            let number: u64 = number.parse().ok()?;
            match word.trim() {
                "passed" => counts.passed += number,
                "skipped" => counts.skipped += number,
                // "failed", "timed out", "exec failed": nextest has no other words.
                _ => counts.failed += number,
            }
        }
        // "3/14 tests run": the tests that did not run count as failed.
        if let Some((done, all)) = run.split(' ').next()?.split_once('/') {
            counts.failed += all.parse::<u64>().ok()? - done.parse::<u64>().ok()?;
        }
        Some(counts)
    }

    /// Reads one result line of `cargo test`, such as
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0s`.
    pub(crate) fn from_libtest(line: &str) -> Option<Self> {
        let (_, outcomes) = line
            .trim()
            .strip_prefix("test result: ")?
            .split_once(". ")?;
        let mut counts = Self::default();
        for outcome in outcomes.split("; ") {
            let Some((Ok(number), word)) = outcome
                .split_once(' ')
                .map(|(number, word)| (number.parse::<u64>(), word))
            else {
                continue;
            };
            match word {
                "passed" => counts.passed += number,
                "failed" => counts.failed += number,
                "ignored" | "filtered out" => counts.skipped += number,
                _ => {}
            }
        }
        Some(counts)
    }

    /// Whether tests ran and none failed.
    pub(crate) fn is_success(self) -> bool {
        self.passed > 0 && self.failed == 0
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The closing line, which CI parses.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// `text` without the parts in parentheses.
fn without_remarks(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|character| match character {
            '(' => {
                depth += 1;
                false
            }
            ')' => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => depth == 0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts {
            passed,
            failed,
            skipped,
        })
    }

    #[test]
    fn nextest_summary_is_parsed() {
        for (line, expected) in [
            (
                "     Summary [   1.996s] 14 tests run: 14 passed, 9 skipped",
                counts(14, 0, 9),
            ),
            (
                "Summary [ 200.1s] 9 tests run: 5 passed (2 slow, 1 flaky), 1 failed, 2 timed out, 1 exec failed, 0 skipped",
                counts(5, 4, 0),
            ),
            (
                "Summary [   0.1s] 3/14 tests run: 2 passed, 1 failed, 0 skipped",
                counts(2, 12, 0),
            ),
            (
                "Summary [   0.1s] 1 test run: 1 passed, 0 skipped",
                counts(1, 0, 0),
            ),
            ("Starting 14 tests across 1 binary (9 tests skipped)", None),
        ] {
            assert_eq!(Counts::from_nextest(line), expected, "{line}");
        }
    }

    #[test]
    fn libtest_result_is_parsed() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s";
        assert_eq!(Counts::from_libtest(line), counts(3, 2, 5));
        assert_eq!(Counts::from_libtest("test a::b ... ok"), None);
    }

    #[test]
    fn a_run_without_tests_is_not_a_success() {
        assert!(!Counts::default().is_success());
    }
}
