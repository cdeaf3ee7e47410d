//! What the output of a step shows about the program that the step runs.

use crate::engine::failures::is_runtime_error;

/// How a line in a step's output begins if its command is for another architecture.
const EXEC_ERROR_PREFIXES: &[&str] = &["standard_init_linux.go:", "exec /"];

/// How lines begin that a runtime or a builder writes itself while a step runs.
const LOG_PREFIXES: &[&str] = &["time=\"", "--->", "-->"];

/// What the output of a step shows about the program that it runs.
#[derive(Default)]
pub(super) struct Output {
    has_begun: bool,
    /// Whether its command is for another architecture.
    pub(super) is_foreign: bool,
    /// The first line, if a runtime that could not start the command wrote it.
    pub(super) runtime_error: Option<String>,
}

impl Output {
    /// Takes notice of one line.
    pub(super) fn see(&mut self, line: &[u8]) {
        self.is_foreign |= is_exec_error(line);
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        // A runtime writes warnings first. A line of the command itself means that it has started.
        if line.is_empty() || self.has_begun || LOG_PREFIXES.iter().any(|log| line.starts_with(log))
        {
            return;
        }
        self.has_begun = true;
        self.runtime_error = is_runtime_error(line).then(|| line.to_owned());
    }
}

/// Whether this line of a step's output reports that its command is for another architecture.
fn is_exec_error(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let is_from_engine = EXEC_ERROR_PREFIXES
        .iter()
        .any(|prefix| line.starts_with(prefix));
    is_from_engine && line.trim_end().ends_with("exec format error")
}
