//! Generates the shell script that runs in the container.
//!
//! All commands are one POSIX shell script, so that variables and `cd` affect later commands. Before
//! each command the script writes the command's number to a file.

use slipway_domain::spec::is_variable_name;

/// The text of the script. `position_file` gets the number of the running command, from 1.
/// `environment` is a file that is sourced first.
///
/// Both outputs go to one pipe, which keeps their order.
pub(crate) fn script(
    commands: &[String],
    position_file: &str,
    environment: Option<&str>,
) -> String {
    let mut text = "exec 2>&1\nset -e\n".to_owned();
    if let Some(file) = environment {
        text.push_str(&format!(". {file}\n"));
    }
    // Not all shells have the option, and `set` with an unknown option ends a POSIX shell.
    text.push_str("if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\n");
    for (position, command) in commands.iter().enumerate() {
        let shown = quoted(&format!("$ {}", command.trim_end()));
        let number = position + 1;
        text.push_str(&format!("printf '%s\\n' {shown}\n"));
        // A command may fill the disk or delete the file; that must not fail the next command.
        text.push_str(&format!("printf {number} >{position_file} || :\n"));
        text.push_str(command);
        text.push('\n');
        // Otherwise the shell would join the command with the next line of this script.
        if command.ends_with('\\') {
            text.push('\n');
        }
    }
    text
}

/// Shell text that exports these variables. If a name occurs twice, the last value counts.
pub(crate) fn exports(environment: &[(String, String)]) -> String {
    // A shell would report a syntax error for other names.
    let named = environment.iter().filter(|(key, _)| is_variable_name(key));
    named
        .map(|(key, value)| format!("export {key}={}\n", quoted(value)))
        .collect()
}

/// The first line of the command that ran last. `position` is the content of the position file.
pub(crate) fn last_command<'a>(commands: &'a [String], position: &str) -> Option<&'a str> {
    const MAX_CHARS: usize = 200;
    // The commands can write to the file as well, so any content is possible.
    let number: usize = position.trim().parse().ok()?;
    let command = commands.get(number.checked_sub(1)?)?;
    let line = command.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or_default().trim();
    let end = line.char_indices().nth(MAX_CHARS).map(|(end, _)| end);
    line.get(..end.unwrap_or(line.len()))
}

/// Quotes `text` as one word.
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

    /// Runs the commands in a shell of this host. Returns the output, the exit code and the last
    /// command.
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
        let output_text = String::from_utf8(output.stdout).unwrap();
        (output_text, output.status.code(), last)
    }

    #[test]
    fn commands_share_one_shell_and_the_first_failure_ends_it() {
        let lines = [
            "x='it'\\''s'",
            "echo \"$x\"; echo wrong >&2; echo right",
            "exit 7",
            "echo never",
        ];
        let (output, code, last) = run("sh", &lines);
        assert_eq!(
            output,
            "$ x='it'\\''s'\n$ echo \"$x\"; echo wrong >&2; echo right\nit's\nwrong\nright\n$ exit 7\n"
        );
        assert_eq!((code, last.as_deref()), (Some(7), Some("exit 7")));
    }

    #[test]
    fn a_failure_in_a_pipe_fails_the_script_if_the_shell_supports_pipefail() {
        let (_, code, last) = run("bash", &["true", "false | cat", "echo never"]);
        assert_eq!((code, last.as_deref()), (Some(1), Some("false | cat")));
        // A shell without the option still runs.
        let (output, code, _) = run("sh", &["echo here"]);
        assert_eq!((output.as_str(), code), ("$ echo here\nhere\n", Some(0)));
    }

    #[test]
    fn a_command_can_have_several_lines() {
        let (output, code, _) = run("sh", &["for x in 1 2; do\n  echo \"n $x\"\ndone\n"]);
        assert!(output.ends_with("n 1\nn 2\n"), "{output}");
        assert_eq!(code, Some(0));
        let list = commands(&["\n  first\nsecond"]);
        assert_eq!(last_command(&list, "1"), Some("first"));
        assert_eq!(last_command(&list, "0"), None);
        assert_eq!(last_command(&list, ""), None);
    }

    #[test]
    fn a_backslash_at_the_end_of_a_command_does_not_join_it_with_the_next_one() {
        for shell in ["sh", "bash"] {
            let lines = [
                "echo a \\",
                "echo b \\\n  c \\",
                "echo 'd\\\\' \\\\",
                "exit 3",
            ];
            let (output, code, last) = run(shell, &lines);
            let results: Vec<&str> = output
                .lines()
                .filter(|line| !line.starts_with(['$', ' ']))
                .collect();
            assert_eq!(results.first(), Some(&"a"), "{output}");
            assert_eq!(results.get(1), Some(&"b c"), "{output}");
            assert_eq!((code, last.as_deref()), (Some(3), Some("exit 3")));
        }
    }

    #[test]
    fn exports_keep_special_characters_in_values() {
        let dir = tempfile::tempdir().unwrap();
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let variables = [
            ("A", "it's $HOME\n`x`"),
            ("B", "1"),
            ("B", "2"),
            ("C-D", "x"),
        ]
        .map(pair);
        let (file, at) = (dir.path().join("environment"), dir.path().join("at"));
        std::fs::write(&file, exports(&variables)).unwrap();
        let list = commands(&["printf '%s.' \"$A\" \"$B\""]);
        let text = script(&list, at.to_str().unwrap(), file.to_str());
        let output = Command::new("sh").args(["-c", &text]).output().unwrap();
        let output_text = String::from_utf8(output.stdout).unwrap();
        assert!(output_text.ends_with("it's $HOME\n`x`.2."), "{output_text}");
    }
}
