//! Checks that the tests in the table of threats exist.

use anyhow::{Context as _, Result};

use super::{report, tracked};

const DOCUMENT: &str = "docs/security.md";
const HEADING: &str = "## Threats";

/// # Errors
/// If a row names no test, or one that does not exist; every row is printed.
pub(super) async fn check() -> Result<()> {
    let files = tracked::text_files(&["md", "rs"]).await?;
    let document = files.iter().find(|file| file.path == DOCUMENT);
    let document = document.with_context(|| format!("{DOCUMENT} is missing"))?;
    let is_test = |name: &str| {
        let definition = format!("fn {name}(");
        let mut code = files.iter().filter(|file| file.path.ends_with(".rs"));
        code.any(|file| file.text.contains(&definition))
    };
    report(&findings_in(&document.text, is_test))
}

fn findings_in(text: &str, is_test: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    let rows = rows(text);
    if rows.is_empty() {
        findings.push(format!("{DOCUMENT}: there is no table below {HEADING:?}"));
    }
    for (row, tests) in rows {
        // Every other part between backticks is a name.
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            findings.push(format!("{DOCUMENT}: row {row} names no test"));
        }
        let missing = names.into_iter().filter(|name| !is_test(name));
        findings.extend(
            missing.map(|name| format!("{DOCUMENT}: row {row}: there is no test `{name}`")),
        );
    }
    findings
}

/// The number and the last column of each row.
fn rows(text: &str) -> Vec<(&str, &str)> {
    let section = text.split_once(HEADING).map_or("", |(_, after)| after);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|'));
    rows.skip(2)
        .filter_map(|line| {
            let cells = line.trim_matches('|');
            let (first, _) = cells.split_once('|')?;
            let (_, last) = cells.rsplit_once('|')?;
            Some((first.trim(), last.trim()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_an_existing_test_are_found() {
        let text = "## Threats\n\n| # | what | tests |\n| --- | --- | --- |\n\
                    | 1 | `a` | `one`, `two` |\n| 2 | b | none |\n\n## Other\n| 3 | c | `four` |";
        let findings = findings_in(text, |name| name == "one");
        assert_eq!(
            findings,
            [
                "docs/security.md: row 1: there is no test `two`",
                "docs/security.md: row 2 names no test"
            ]
        );
        assert_eq!(findings_in("text", |_| true).len(), 1);
    }
}
