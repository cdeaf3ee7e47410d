//! Recognizing repositories on GitHub by the host in their clone URL.

use url::Url;

/// A repository on GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubRepository {
    pub owner: String,
    /// Without `.git`.
    pub name: String,
}

impl GithubRepository {
    /// The repository with the clone URL `repo_url`, if it is on the GitHub whose API is at `base`.
    pub(crate) fn at(base: &Url, repo_url: &str) -> Option<Self> {
        let (host, port, path) = split_url(repo_url)?;
        let own = base.host_str()?.to_ascii_lowercase();
        // github.com has its API on a separate host; GitHub Enterprise has it below a path.
        let (home, home_port) = match own.strip_prefix("api.github.com") {
            Some("") => ("github.com".to_owned(), None),
            _ => (own, base.port()),
        };
        // Another port is another server, which must not be mistaken for GitHub.
        if host != home || port.is_some_and(|port| port != home_port) {
            return None;
        }
        let path = path.trim_start_matches('/').trim_end_matches('/');
        let (owner, name) = path.split_once('/')?;
        let name = name.strip_suffix(".git").unwrap_or(name);
        let part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !part.bytes().all(|b| b == b'.')
        };
        (part(owner) && part(name)).then(|| Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// The host, port and path of a clone URL. The port is `None` unless the scheme is HTTP, because only
/// there it can be compared with the port of the API.
fn split_url(repo_url: &str) -> Option<(String, Option<Option<u16>>, String)> {
    if repo_url.contains("://") {
        let url = Url::parse(repo_url).ok()?;
        let host = url.host_str()?.to_ascii_lowercase();
        let port = matches!(url.scheme(), "http" | "https").then(|| url.port());
        return Some((host, port, url.path().to_owned()));
    }
    let (_, rest) = repo_url.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    Some((host.to_ascii_lowercase(), None, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(base: &str, repo_url: &str) -> Option<String> {
        let base = Url::parse(base).unwrap();
        let found = GithubRepository::at(&base, repo_url)?;
        Some(format!("{}/{}", found.owner, found.name))
    }

    #[test]
    fn a_repository_is_recognized_by_the_host_of_its_clone_url() {
        let public = "https://api.github.com";
        let own = "https://ghe.example/api/v3";
        for (base, repo_url) in [
            (public, "https://github.com/acme/api.git"),
            (public, "https://GitHub.com/acme/api/"),
            (public, "git@github.com:acme/api.git"),
            (public, "ssh://git@github.com:22/acme/api"),
            (own, "https://ghe.example/acme/api.git"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000/acme/api"),
        ] {
            let expected = Some("acme/api".to_owned());
            assert_eq!(found(base, repo_url), expected, "{repo_url}");
        }
        for (base, repo_url) in [
            (public, "https://gitlab.com/acme/api.git"),
            (public, "https://github.com.evil.example/acme/api.git"),
            (public, "https://github.com:8443/acme/api.git"),
            (public, "https://github.com/acme"),
            (public, "https://github.com/acme/api/tree"),
            (public, "https://github.com/acme/.."),
            (own, "https://github.com/acme/api.git"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3001/acme/api"),
        ] {
            assert_eq!(found(base, repo_url), None, "{repo_url}");
        }
    }
}
