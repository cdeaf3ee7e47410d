//! A command line, printed as a user would type it.

use std::fmt;

/// A program of the farm or an installed one, with its arguments.
#[derive(Clone, Debug)]
pub(super) struct CommandLine {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
}

impl CommandLine {
    pub(super) fn new(program: &str, arguments: &[&str]) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    /// Prints the line before it runs.
    pub(super) fn print(&self) {
        println!("$ {self}");
    }

    /// Prints the line before it runs in the background.
    pub(super) fn print_in_background(&self) {
        println!("$ {self} &");
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        for word in &self.arguments {
            if word.contains(char::is_whitespace) {
                write!(f, " '{word}'")?;
            } else {
                write!(f, " {word}")?;
            }
        }
        Ok(())
    }
}
