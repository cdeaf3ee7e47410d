//! The stored login: a file that only its owner can read, overridden by environment variables.

use std::env;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// The variable with the farm's URL. It takes precedence over the file.
pub(crate) const URL: &str = "SLIPWAY_URL";
/// The variable with the token. It takes precedence over the file.
pub(crate) const TOKEN: &str = "SLIPWAY_TOKEN";
/// The variable with the path of the file.
const FILE: &str = "SLIPWAY_CLI_CONFIG";
/// The variable that earlier versions read. `slipway-runner` reads it as well, so it may name a file
/// of the other program.
const OLD_FILE: &str = "SLIPWAY_CONFIG";

/// The file with the login.
pub(crate) struct Config {
    path: PathBuf,
}

/// A farm, and the token to use there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
// The configuration of a runner has a URL and a token as well, but also other fields.
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Config {
    /// The file at `path`, or the default one.
    pub(crate) fn new(path: Option<PathBuf>) -> Result<Self> {
        if let Some(path) = path.or_else(|| non_empty(OLD_FILE).map(PathBuf::from)) {
            return Ok(Self { path });
        }
        let folder = match (non_empty("XDG_CONFIG_HOME"), non_empty("HOME")) {
            (Some(folder), _) => PathBuf::from(folder),
            (None, Some(home)) => Path::new(&home).join(".config"),
            (None, None) => {
                bail!("could not choose a configuration file because HOME is not set: set {FILE}")
            }
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
        match self.text()? {
            Some(text) => self.parse(&text),
            None => bail!("not logged in: run `slipway login --url URL`, or set {URL} and {TOKEN}"),
        }
    }

    /// The content of the file, or `None` if the file does not exist.
    fn text(&self) -> Result<Option<String>> {
        match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            text => text
                .map(Some)
                .with_context(|| format!("could not read {}", self.path.display())),
        }
    }

    fn parse(&self, text: &str) -> Result<Credentials> {
        // The parser's message would show the line with the token.
        toml::from_str(text).ok().with_context(|| {
            let file_name = self.path.display();
            if is_runner_config(text) {
                format!(
                    "{file_name} is the configuration of a runner and contains no login: name another \
                     file with --config or {FILE}"
                )
            } else {
                format!(
                    "{file_name} contains no valid login: name another file with --config or {FILE}, \
                     or delete this one and run `slipway login --url URL`"
                )
            }
        })
    }

    /// Checks that a login may be stored: the file does not exist, is empty, or contains a login. Any
    /// other file belongs to somebody else.
    pub(crate) fn check_replaceable(&self) -> Result<()> {
        // A device such as /dev/null reads as empty, and must not be replaced by a file.
        if fs::metadata(&self.path).is_ok_and(|metadata| !metadata.is_file()) {
            bail!(
                "{} is not a regular file: name another file with --config or {FILE}",
                self.path.display()
            );
        }
        match self.text()? {
            Some(text) if !text.trim().is_empty() => self.parse(&text).map(drop),
            Some(_) | None => Ok(()),
        }
    }

    /// Stores a login atomically, in a file that only its owner can read.
    pub(crate) fn store(&self, credentials: &Credentials) -> Result<()> {
        self.check_replaceable()?;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)
            .with_context(|| format!("could not create {}", folder.display()))?;
        let write = || -> std::io::Result<()> {
            let text = toml::to_string(credentials).map_err(std::io::Error::other)?;
            // Its mode is 0600. A rename replaces the file in one step, so that a crash never leaves
            // half a token.
            let mut file = NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|error| error.error)?;
            Ok(())
        };
        write().with_context(|| format!("could not write {}", self.path.display()))
    }
}

/// Whether the text is what `slipway-runner register` writes.
fn is_runner_config(text: &str) -> bool {
    let table: Option<toml::Table> = text.parse().ok();
    table.is_some_and(|table| table.contains_key("token") && table.contains_key("id"))
}

/// The value of an environment variable, if it is set and not empty.
pub(crate) fn non_empty(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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

    #[test]
    fn only_a_login_or_an_empty_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Some(folder.path().join("config.toml"))).unwrap();
        let credentials = Credentials {
            url: "https://farm.example".to_owned(),
            token: "slpat-1".to_owned(),
        };
        let runner = "url = 'http://a'\ntoken = 'slrun-secret'\nid = 7\ndescription = 'x'\n";
        for foreign in [
            runner,
            "url = 'http://a'\ntoken = 'slrun-secret'\nother = 1\n",
            "[server]\nlisten = 1\n",
            "not toml",
        ] {
            fs::write(config.path(), foreign).unwrap();
            let error = format!("{:#}", config.store(&credentials).unwrap_err());
            assert!(error.contains("SLIPWAY_CLI_CONFIG"), "{error}");
            assert!(!error.contains("slrun-secret"), "{error}");
            assert_eq!(error.contains("of a runner"), foreign == runner, "{error}");
            assert!(config.stored().is_err());
            assert_eq!(fs::read_to_string(config.path()).unwrap(), foreign);
        }
        let device = Config::new(Some("/dev/null".into())).unwrap();
        assert!(device.check_replaceable().is_err());
        fs::write(config.path(), "\n").unwrap();
        config.store(&credentials).unwrap();
        config.store(&credentials).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
