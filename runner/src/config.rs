//! The runner's configuration file: where its coordinator is, and who it is there.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use slipway_domain::{RunnerId, RunnerToken};

/// What registration gave, kept in a file that its owner alone can read.
#[derive(Clone)]
pub struct Config {
    /// The coordinator's address.
    pub url: String,
    /// The runner's own token.
    pub token: RunnerToken,
    /// The runner's id.
    pub id: RunnerId,
    /// The runner's description.
    pub description: String,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config(runner {} of {})", self.id, self.url)
    }
}

/// Why the configuration could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read; perhaps the runner is not registered yet.
    #[error("the configuration could not be read; register the runner first")]
    Unreadable(#[source] std::io::Error),
    /// The file is not what registration wrote.
    #[error("the configuration is not valid")]
    Invalid(#[source] Box<toml::de::Error>),
    /// The file could not be written.
    #[error("the configuration could not be written")]
    Unwritable(#[source] std::io::Error),
}

/// The file's form.
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
    /// `Unreadable` and `Invalid`; neither shows what the file holds.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(ConfigError::Unreadable)?;
        let file: File = toml::from_str(&text).map_err(|mut error| {
            // The text around the mistake may be the token.
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

    /// Writes the file in one step, with mode 0600.
    ///
    /// # Errors
    /// `Unwritable`.
    pub fn save(&self, path: &Path) -> Result<(), ConfigError> {
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
            let mut new = tempfile::NamedTempFile::new_in(dir)?;
            let owner_alone = std::fs::Permissions::from_mode(0o600);
            new.as_file().set_permissions(owner_alone)?;
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
    fn a_configuration_reads_back_and_is_its_owners_alone() {
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
    fn a_broken_configuration_does_not_show_its_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runner.toml");
        std::fs::write(&path, "url = 'x'\ntoken = 'slrun-secret\nid = 1").unwrap();
        let error = Config::load(&path).unwrap_err();
        let shown = format!("{error:?}") + &format!("{:#}", anyhow::Error::from(error));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
