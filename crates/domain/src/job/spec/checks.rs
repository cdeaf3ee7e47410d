//! Checks that several specs share.

use crate::names::Invalid;

/// The form of such a name as an ECMA 262 regular expression, for API descriptions.
pub const VARIABLE_NAME_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// Returns true if `name` is a valid name of an environment variable or build argument.
pub fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(super) fn check_path(what: &'static str, path: &str) -> Result<(), Invalid> {
    let inside = !path.is_empty()
        && path.len() <= 1024
        && !path.starts_with(['/', '-'])
        && !path.contains(['\\', '\0', '\n', '\r'])
        && path.split('/').all(|part| part != "..");
    if inside {
        Ok(())
    } else {
        Err(Invalid::new(
            what,
            path,
            "a path inside the repository, relative to its root and without ..",
        ))
    }
}
