//! The files under version control.

use std::path::PathBuf;

use anyhow::Result;
use tokio::process::Command;

use crate::process::output_of;
use crate::root;

/// A text file, with its path from the root of the repository.
pub(super) struct TextFile {
    pub(super) path: String,
    pub(super) text: String,
}

/// Reads the tracked files whose names end with one of `extensions`.
///
/// New files count as well unless they are ignored, so that a check does not depend on `git add`.
pub(super) async fn text_files(extensions: &[&str]) -> Result<Vec<TextFile>> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root());
    let listed = output_of(&mut list).await?;
    let mut files = Vec::new();
    for path in listed.lines() {
        let has_extension = extensions
            .iter()
            .any(|extension| path.ends_with(&format!(".{extension}")));
        let full: PathBuf = root().join(path);
        // A file that was deleted but not committed is still listed.
        if has_extension && full.is_file() {
            let text = std::fs::read_to_string(&full)?;
            files.push(TextFile {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}
