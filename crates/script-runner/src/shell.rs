//! What the shell of the container is told.
//!
//! The commands are one POSIX shell script, so that a variable or a `cd` of one is there for the
//! next. Before each command the script notes in a file how far it has come.

use slipway_domain::spec::is_variable_name;

/// The script as text. `at` is the file that holds the number of the command that runs, from 1.
///
/// Both outputs go to one pipe, so that they stay in the order in which they were written.
/// `environment` is a file to read first.
pub(crate) fn script(commands: &[String], at: &str, environment: Option<&str>) -> String {
    let mut text = "exec 2>&1\nset -e\n".to_owned();
    if let Some(file) = environment {
        text.push_str(&format!(". {file}\n"));
    }
    text.push_str("if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\n");
    for (position, command) in commands.iter().enumerate() {
        let shown = quoted(&format!("$ {}", command.trim_end()));
        let number = position + 1;
        text.push_str(&format!("printf '%s\\n' {shown}\n"));
        text.push_str(&format!("printf {number} >{at} || :\n"));
        text.push_str(command);
        text.push('\n');
    }
    text
}

/// Text that a shell reads to have these variables. Of two with one name the later counts.
pub(crate) fn exports(environment: &[(String, String)]) -> String {
    // Another name is none that a shell takes.
    let named = environment.iter().filter(|(key, _)| is_variable_name(key));
    named
        .map(|(key, value)| format!("export {key}={}\n", quoted(value)))
        .collect()
}

/// The command that ran last, by what the file says, as one short line.
pub(crate) fn last_command<'a>(commands: &'a [String], at: &str) -> Option<&'a str> {
    const MOST: usize = 200;
    let number: usize = at.trim().parse().ok()?;
    let command = commands.get(number.checked_sub(1)?)?;
    let line = command.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or_default().trim();
    let end = line.char_indices().nth(MOST).map(|(end, _)| end);
    line.get(..end.unwrap_or(line.len()))
}

/// `text` as one word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn commands(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    /// Runs the commands in a shell of this host.
    fn run(shell: &str, lines: &[&str]) -> (String, Option<i32>, Option<String>) {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("at");
        let list = commands(lines);
        let text = script(&list, at.to_str().unwrap(), None);
        let file = dir.path().join("script");
        std::fs::write(&file, text).unwrap();
        let output = Command::new(shell).arg(&file).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let at = std::fs::read_to_string(at).unwrap_or_default();
        let last = last_command(&list, &at).map(str::to_owned);
        let said = String::from_utf8(output.stdout).unwrap();
        (said, output.status.code(), last)
    }

    #[test]
    fn commands_share_a_shell_and_the_first_that_fails_ends_it() {
        let lines = [
            "x='it'\\''s'",
            "echo \"$x\"; echo wrong >&2; echo right",
            "exit 7",
            "echo never",
        ];
        let (said, code, last) = run("sh", &lines);
        assert_eq!(
            said,
            "$ x='it'\\''s'\n$ echo \"$x\"; echo wrong >&2; echo right\nit's\nwrong\nright\n$ exit 7\n"
        );
        assert_eq!((code, last.as_deref()), (Some(7), Some("exit 7")));
    }

    #[test]
    fn a_failure_within_a_pipe_counts_where_the_shell_can_tell() {
        let (_, code, last) = run("bash", &["true", "false | cat", "echo never"]);
        assert_eq!((code, last.as_deref()), (Some(1), Some("false | cat")));
        // A shell without the option still runs.
        let (said, code, _) = run("sh", &["echo here"]);
        assert_eq!((said.as_str(), code), ("$ echo here\nhere\n", Some(0)));
    }

    #[test]
    fn a_command_may_have_several_lines() {
        let (said, code, _) = run("sh", &["for x in 1 2; do\n  echo \"n $x\"\ndone\n"]);
        assert!(said.ends_with("n 1\nn 2\n"), "{said}");
        assert_eq!(code, Some(0));
        let list = commands(&["\n  first\nsecond"]);
        assert_eq!(last_command(&list, "1"), Some("first"));
        assert_eq!(last_command(&list, "0"), None);
        assert_eq!(last_command(&list, ""), None);
    }

    #[test]
    fn a_shell_reads_variables_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let told = [
            ("A", "it's $HOME\n`x`"),
            ("B", "1"),
            ("B", "2"),
            ("C-D", "x"),
        ]
        .map(pair);
        let (file, at) = (dir.path().join("environment"), dir.path().join("at"));
        std::fs::write(&file, exports(&told)).unwrap();
        let list = commands(&["printf '%s.' \"$A\" \"$B\""]);
        let text = script(&list, at.to_str().unwrap(), file.to_str());
        let output = Command::new("sh").args(["-c", &text]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.ends_with("it's $HOME\n`x`.2."), "{said}");
    }
}
