//! Checks URLs of repositories.

use slipway_domain::names::Invalid;
use url::Url;

use crate::error::FarmError;

/// The longest text that names a repository and is no URL, in bytes.
const MAX_NAME: usize = 4096;

/// The longest URL, in bytes.
pub const MAX_URL: usize = 2000;

/// The form of a URL as an ECMA 262 regular expression, for API descriptions. A few texts match it
/// that are no URL, such as one with a port above 65535.
pub const URL_PATTERN: &str = concat!(
    r"^(?:https?://[A-Za-z0-9][^\s@\u0000-\u001f\u007f-\u009f]*",
    r"|(?:ssh|git)://[A-Za-z0-9][^\s\u0000-\u001f\u007f-\u009f]*",
    r"|[A-Za-z0-9_.][A-Za-z0-9_.-]*@[A-Za-z0-9_.][A-Za-z0-9_.-]*:",
    r"[^-\s\u0000-\u001f\u007f-\u009f][^\s\u0000-\u001f\u007f-\u009f]*)$",
);

/// Checks that git can safely clone `text`, and that it contains no secret.
pub(crate) fn check_repo_url(text: &str) -> Result<(), FarmError> {
    let expected = "a URL that begins with https://, http://, ssh:// or git://, or USER@HOST:PATH";
    let invalid = || FarmError::from(Invalid::new("repo_url", text, expected));
    let plain = !text.is_empty()
        && text.len() <= MAX_URL
        // git would take a leading dash for an option.
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_control() || c.is_whitespace());
    if !plain {
        return Err(invalid());
    }
    if !text.contains("://") {
        return if is_scp_form(text) {
            Ok(())
        } else {
            Err(invalid())
        };
    }
    let url = Url::parse(text).map_err(|_| invalid())?;
    let known = matches!(url.scheme(), "http" | "https" | "ssh" | "git");
    check_no_secret(&url)?;
    match url.host_str() {
        Some(host) if known && !host.starts_with('-') => Ok(()),
        _ => Err(invalid()),
    }
}

/// Checks a text that names a repository for people. It need not be a URL, and is never given to git
/// unless it passes [`check_repo_url`] too.
pub(crate) fn check_repository_name(text: &str) -> Result<(), FarmError> {
    if text.len() > MAX_NAME || text.contains('\0') {
        let why = format!("repository must have at most {MAX_NAME} bytes and no zero byte");
        return Err(FarmError::Invalid(why));
    }
    match Url::parse(text) {
        Ok(url) if url.has_host() => check_no_secret(&url),
        _ => Ok(()),
    }
}

fn check_no_secret(url: &Url) -> Result<(), FarmError> {
    // Over HTTP a user name alone is almost always a token.
    let has_secret = url.password().is_some()
        || (matches!(url.scheme(), "http" | "https") && !url.username().is_empty());
    if has_secret {
        // The message leaves the URL out, because it contains a secret.
        let why = "repo_url must not contain a user or a password, because everybody who sees the \
                   project sees it: use the plain URL";
        return Err(FarmError::Invalid(why.to_owned()));
    }
    Ok(())
}

/// Whether `text` has the form `user@host:path`, which git accepts like `scp`.
fn is_scp_form(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    match text.split_once(':') {
        Some((login, path)) => match login.split_once('@') {
            Some((user, host)) => {
                word(user) && word(host) && !path.is_empty() && !path.starts_with('-')
            }
            None => false,
        },
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_git_can_safely_clone_are_accepted() {
        for good in [
            "https://git.example/acme/api.git",
            "http://127.0.0.1:3000/acme/api",
            "ssh://git@git.example:2222/acme/api",
            "git://git.example/api",
            "git@git.example:acme/api.git",
        ] {
            assert!(check_repo_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "api",
            "/srv/git/api",
            "file:///srv/git/api",
            "ext::sh -c id",
            "ext://sh",
            "--upload-pack=id",
            "-oProxyCommand=id@h:p",
            "git@-oProxyCommand=id:p",
            "ssh://-oProxyCommand=id/p",
            "https://",
            "https://git.example/a b",
            "https://git.example/a\n",
        ] {
            assert!(check_repo_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_name_of_a_repository_is_any_text_without_a_secret() {
        for good in [
            "",
            "acme/web",
            "--upload-pack=id",
            "Our monorepo, see wiki",
            "ext::sh",
        ] {
            assert!(check_repository_name(good).is_ok(), "{good}");
        }
        for bad in ["https://me:hunter2@git.example/a", "a\0", &"x".repeat(4097)] {
            assert!(check_repository_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_with_a_secret_is_refused_and_the_error_does_not_repeat_it() {
        for bad in [
            "https://me:hunter2@git.example/a",
            "https://hunter2@git.example/a",
        ] {
            let error = check_repo_url(bad).unwrap_err().to_string();
            assert!(
                error.contains("plain URL") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
