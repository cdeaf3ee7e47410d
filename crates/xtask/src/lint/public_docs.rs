//! Finds public items without a doc comment.
//!
//! rustc's `missing_docs` also wants a comment on every field, variant and accessor, where most names
//! say it all. This check covers the other items that rustc covers.

use anyhow::Result;

use super::{report, tracked};

/// How the declarations begin that need a doc comment. A module documents itself, with `//!`.
const DECLARATIONS: [&str; 9] = [
    "pub fn ",
    "pub async fn ",
    "pub const ",
    "pub static ",
    "pub struct ",
    "pub enum ",
    "pub trait ",
    "pub type ",
    "pub union ",
];

/// Checks the sources of every library and program.
///
/// # Errors
/// If an item has no doc comment; every place is printed.
pub(super) async fn check() -> Result<()> {
    let mut findings = Vec::new();
    for file in tracked::text_files(&["rs"]).await? {
        let is_library = file.path.contains("/src/") && !file.path.ends_with("tests.rs");
        if is_library && !file.path.contains("/tests/") {
            findings.extend(findings_in(&file.path, &file.text));
        }
    }
    report(&findings)
}

fn findings_in(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut has_doc = false;
    // Brackets of an attribute that are still open: attributes stand between a comment and its item.
    let mut open = 0_usize;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if open > 0 || line.starts_with("#[") {
            // `#[doc = …]` and `#[doc(hidden)]` document an item as well.
            has_doc |= line.starts_with("#[doc");
            open += line.matches('[').count();
            open = open.saturating_sub(line.matches(']').count());
        } else if line.starts_with("///") {
            has_doc = true;
        } else {
            let is_public = DECLARATIONS.iter().any(|start| line.starts_with(start));
            if is_public && !has_doc && !is_accessor(line) && !line.contains('$') {
                let item = line.split(['(', '{', '<', '=', ';']).next().unwrap_or(line);
                let number = number + 1;
                findings.push(format!("{path}:{number}: no doc comment: {}", item.trim()));
            }
            has_doc = false;
        }
    }
    findings
}

/// Whether a declaration is a method without parameters that returns something, such as `fn id(&self)`.
fn is_accessor(line: &str) -> bool {
    line.contains("(&self) ->") || line.contains("(self) ->")
}

#[cfg(test)]
mod tests {
    use super::findings_in;

    #[test]
    fn an_undocumented_function_is_reported() {
        let findings = findings_in("a.rs", "    pub fn parse(text: &str) -> u8 {\n");
        assert_eq!(findings, ["a.rs:1: no doc comment: pub fn parse"]);
    }

    #[test]
    fn fields_and_items_below_attributes_are_not_reported() {
        let text = "/// A row.\n#[derive(\n    Debug,\n)]\npub struct Row {\n    pub id: i64,\n}\n";
        assert!(findings_in("a.rs", text).is_empty());
    }

    #[test]
    fn accessors_are_not_reported() {
        assert!(findings_in("a.rs", "    pub fn id(&self) -> JobId {\n").is_empty());
    }

    #[test]
    fn a_comment_documents_one_item_only() {
        let text = "/// One.\npub const A: u8 = 1;\npub const B: u8 = 2;\n";
        assert_eq!(findings_in("a.rs", text).len(), 1);
    }
}
