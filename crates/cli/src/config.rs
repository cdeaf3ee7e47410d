//! The stored login: a file that only its owner can read, overridden by environment variables.

use std::env;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The variable with the farm's URL. It takes precedence over the file.
pub(crate) const URL: &str = "SLIPWAY_URL";
/// The variable with the token. It takes precedence over the file.
pub(crate) const TOKEN: &str = "SLIPWAY_TOKEN";

/// The file with the login.
pub(crate) struct Config {
    path: PathBuf,
}

/// A farm, and the token to use there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Config {
    /// The file at `path`, or the default one.
    pub(crate) fn new(path: Option<PathBuf>) -> Result<Self> {
        if let Some(path) = path {
            return Ok(Self { path });
        }
        let folder = match (non_empty("XDG_CONFIG_HOME"), non_empty("HOME")) {
            (Some(folder), _) => PathBuf::from(folder),
            (None, Some(home)) => Path::new(&home).join(".config"),
            (None, None) => bail!(
                "could not choose a configuration file because HOME is not set: set SLIPWAY_CONFIG"
            ),
        };
        Ok(Self {
            path: folder.join("slipway").join("config.toml"),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The login: what the environment variables set, and the rest from the file.
    pub(crate) fn credentials(&self) -> Result<Credentials> {
        let (url, token) = (non_empty(URL), non_empty(TOKEN));
        if let (Some(url), Some(token)) = (&url, &token) {
            let (url, token) = (url.clone(), token.clone());
            return Ok(Credentials { url, token });
        }
        let stored = self.stored()?;
        // A token must never be sent to another farm than the one for which it was stored.
        if let (Some(url), None) = (&url, &token)
            && url.trim_end_matches('/') != stored.url.trim_end_matches('/')
        {
            bail!(
                "{URL} is not the URL of the stored login: also set {TOKEN}, or run `slipway login \
                 --url URL`"
            );
        }
        Ok(Credentials {
            url: url.unwrap_or(stored.url),
            token: token.unwrap_or(stored.token),
        })
    }

    fn stored(&self) -> Result<Credentials> {
        let file_name = self.path.display();
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("not logged in: run `slipway login --url URL`, or set {URL} and {TOKEN}")
            }
            text => text.with_context(|| format!("could not read {file_name}"))?,
        };
        // The parser's message would show the line with the token.
        toml::from_str(&text).ok().with_context(|| {
            format!("{file_name} contains no valid login: run `slipway login --url URL`")
        })
    }

    /// Stores a login atomically, in a file that only its owner can read.
    pub(crate) fn store(&self, credentials: &Credentials) -> Result<()> {
        let file_name = self.path.display();
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .with_context(|| format!("could not create {}", folder.display()))?;
        let draft = self
            .path
            .with_extension(format!("{}.new", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)?;
            // A leftover of an earlier process keeps its own mode when it is opened.
            file.set_permissions(Permissions::from_mode(0o600))?;
            let text = toml::to_string(credentials).map_err(std::io::Error::other)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&draft, &self.path)
        };
        write().with_context(|| format!("could not write {file_name}"))
    }
}

/// The value of an environment variable, if it is set and not empty.
pub(crate) fn non_empty(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_stored_with_mode_600_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Some(folder.path().join("new/config.toml"))).unwrap();
        assert!(
            config
                .stored()
                .is_err_and(|error| error.to_string().contains("slipway login"))
        );
        let credentials = Credentials {
            url: "https://farm.example".to_owned(),
            token: "slpat-1".to_owned(),
        };
        for _ in 0..2 {
            config.store(&credentials).unwrap();
            assert!(config.stored().unwrap() == credentials);
        }
        let mode = fs::metadata(config.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        fs::write(config.path(), "token = slpat-secret").unwrap();
        let error = config.stored().err().unwrap();
        assert!(!format!("{error:#}").contains("slpat-secret"));
    }
}
