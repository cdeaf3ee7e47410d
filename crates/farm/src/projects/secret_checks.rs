//! Checks names and values of secrets. No error repeats a secret.

use slipway_domain::image::Repository;
use slipway_domain::names::Invalid;
use slipway_domain::spec::is_variable_name;

use crate::error::FarmError;

/// The longest value of a variable, and the longest password, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;

/// Checks the name of a variable.
pub(crate) fn check_key(key: &str) -> Result<(), FarmError> {
    if !is_variable_name(key) {
        let expected = "a name of A-Z a-z 0-9 _ that does not begin with a digit";
        return Err(Invalid::new("variable name", key, expected).into());
    }
    Ok(())
}

/// Checks a user name for Basic authentication.
pub(crate) fn check_user_name(username: &str) -> Result<(), FarmError> {
    let sendable = !username.is_empty()
        && username.len() <= 255
        && !username.contains(|c: char| c == ':' || c.is_control());
    if !sendable {
        let expected = "1 to 255 bytes without colons and control characters";
        return Err(Invalid::new("user name", username, expected).into());
    }
    Ok(())
}

/// Checks the value of a secret.
pub(crate) fn check_value(what: &'static str, value: &str) -> Result<(), FarmError> {
    if value.len() > MAX_VALUE || value.contains('\0') {
        let why = format!("the {what} must have at most {MAX_VALUE} bytes and no zero byte");
        return Err(FarmError::Invalid(why));
    }
    Ok(())
}

/// The host of a registry in the form that image references use.
pub(crate) fn registry_host(text: &str) -> Result<String, FarmError> {
    let host = text.to_ascii_lowercase();
    let names_itself = format!("{host}/image")
        .parse::<Repository>()
        .is_ok_and(|repository| repository.registry() == host);
    if !names_itself {
        let expected = "HOST[:PORT], such as registry.example:5000";
        return Err(Invalid::new("registry", text, expected).into());
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_must_be_a_host() {
        assert_eq!(registry_host("GHCR.io").unwrap(), "ghcr.io");
        assert_eq!(registry_host("localhost:5000").unwrap(), "localhost:5000");
        for bad in ["", "ghcr", "https://ghcr.io", "ghcr.io/acme", "a.b:c"] {
            assert!(registry_host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_the_secret() {
        let error = check_value("password", "hunter2\0").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
