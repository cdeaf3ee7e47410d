//! The runner's configuration file: the coordinator and the runner's token.

use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slipway_domain::{RunnerId, RunnerToken};

/// The result of a registration. Its file can be read by the owner only.
#[derive(Clone)]
pub struct Config {
    /// The coordinator's URL.
    pub url: String,
    pub token: RunnerToken,
    pub id: RunnerId,
    pub description: String,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token must not reach a log.
        write!(f, "Config(runner {} of {})", self.id, self.url)
    }
}

/// Why the configuration could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("could not read the configuration; is the runner registered?")]
    Unreadable(#[source] std::io::Error),
    /// The file is not a configuration.
    #[error("the configuration is invalid; register the runner again")]
    Invalid(#[source] Box<toml::de::Error>),
    /// The file contains something else, which must not be lost.
    #[error(
        "{} is not the configuration of a runner and is not overwritten; name another file with \
         --config or SLIPWAY_RUNNER_CONFIG",
        .0.display()
    )]
    Foreign(PathBuf),
    /// The file could not be written.
    #[error("could not write the configuration")]
    Unwritable(#[source] std::io::Error),
}

/// The format of the file.
#[derive(Serialize, Deserialize)]
struct File {
    url: String,
    token: String,
    id: i64,
    #[serde(default)]
    description: String,
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// `Unreadable` or `Invalid`. Neither contains text of the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(ConfigError::Unreadable)?;
        let file: File = toml::from_str(&text).map_err(|mut error| {
            // The parser quotes the line with the mistake, which may contain the token.
            error.set_input(None);
            ConfigError::Invalid(Box::new(error))
        })?;
        Ok(Self {
            url: file.url,
            token: RunnerToken::presented(file.token),
            id: RunnerId(file.id),
            description: file.description,
        })
    }

    /// Checks that [`Config::save`] may write to `path`, and returns the configuration that it would
    /// replace.
    ///
    /// # Errors
    /// `Foreign` if the file is neither empty nor the configuration of a runner; `Unreadable`.
    pub fn replaced_at(path: &Path) -> Result<Option<Self>, ConfigError> {
        let foreign = || ConfigError::Foreign(path.to_owned());
        match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // A device such as /dev/null reads as empty, and must not be replaced by a file.
            Ok(metadata) if !metadata.is_file() => return Err(foreign()),
            Ok(_) | Err(_) => {}
        }
        let bytes = std::fs::read(path).map_err(ConfigError::Unreadable)?;
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        match Self::load(path) {
            Ok(config) => Ok(Some(config)),
            Err(_) => Err(foreign()),
        }
    }

    /// Writes the file atomically, with mode 0600.
    ///
    /// # Errors
    /// Returns `Unwritable` if the file or its directory cannot be written, and `Foreign` if the file
    /// is not the configuration of a runner.
    pub fn save(&self, path: &Path) -> Result<(), ConfigError> {
        Self::replaced_at(path)?;
        let file = File {
            url: self.url.clone(),
            token: self.token.expose().to_owned(),
            id: self.id.0,
            description: self.description.clone(),
        };
        let write = || {
            let text = toml::to_string(&file).map_err(std::io::Error::other)?;
            let dir = match path.parent() {
                Some(dir) if !dir.as_os_str().is_empty() => dir,
                _ => Path::new("."),
            };
            std::fs::create_dir_all(dir)?;
            // A rename replaces the file in one step, so a crash never leaves half a token.
            let mut new = tempfile::NamedTempFile::new_in(dir)?;
            let owner_only = std::fs::Permissions::from_mode(0o600);
            new.as_file().set_permissions(owner_only)?;
            new.write_all(text.as_bytes())?;
            new.as_file().sync_all()?;
            new.persist(path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(ConfigError::Unwritable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn save_writes_a_file_that_load_reads_and_only_the_owner_can_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/runner.toml");
        let config = Config {
            url: "http://127.0.0.1:1".to_owned(),
            token: RunnerToken::presented("slrun-secret"),
            id: RunnerId(7),
            description: "box".to_owned(),
        };
        config.save(&path).unwrap();
        let read = Config::load(&path).unwrap();
        assert_eq!(
            (read.id, read.token.expose()),
            (RunnerId(7), "slrun-secret")
        );
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{read:?}").contains("secret"));
    }

    #[test]
    fn save_replaces_only_the_configuration_of_a_runner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runner.toml");
        let config = Config {
            url: "http://127.0.0.1:1".to_owned(),
            token: RunnerToken::presented("slrun-new"),
            id: RunnerId(8),
            description: "box".to_owned(),
        };
        for foreign in [
            "url = 'http://a'\ntoken = 'slpat-secret'\n",
            "[a]\nb = 1\n",
            "x",
            "\u{fffd}",
        ] {
            std::fs::write(&path, foreign).unwrap();
            let error = config.save(&path).unwrap_err().to_string();
            assert!(error.contains("SLIPWAY_RUNNER_CONFIG"), "{error}");
            assert!(!error.contains("slpat-secret"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
        }
        assert!(config.save(Path::new("/dev/null")).is_err());
        assert!(config.save(dir.path()).is_err());
        for _ in 0..2 {
            std::fs::write(&path, "").unwrap();
            assert!(Config::replaced_at(&path).unwrap().is_none());
            config.save(&path).unwrap();
            config.save(&path).unwrap();
            let replaced = Config::replaced_at(&path).unwrap().unwrap();
            assert_eq!(replaced.id, RunnerId(8));
        }
    }

    #[test]
    fn the_error_for_an_invalid_configuration_does_not_contain_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runner.toml");
        std::fs::write(&path, "url = 'x'\ntoken = 'slrun-secret\nid = 1").unwrap();
        let error = Config::load(&path).unwrap_err();
        let shown = format!("{error:?}") + &format!("{:#}", anyhow::Error::from(error));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
