//! A command line, shown as a user would type it.

use std::fmt;

/// A program of the farm, or one that is installed, and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
}

impl Line {
    pub(super) fn new(program: &str, arguments: &[&str]) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    /// Shows it, before it is run.
    pub(super) fn say(&self) {
        println!("$ {self}");
    }

    /// Shows it, before it is run beside the others.
    pub(super) fn say_in_background(&self) {
        println!("$ {self} &");
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        for word in &self.arguments {
            match word.contains(char::is_whitespace) {
                true => write!(f, " '{word}'")?,
                false => write!(f, " {word}")?,
            }
        }
        Ok(())
    }
}
