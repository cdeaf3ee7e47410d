//! From a URL or a file to a directory with the sources in it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use crate::address::Network;
use crate::error::{PackageError, bytes};
use crate::fetch::{FetchLimits, Fetched, Fetcher};
use crate::kind::{HEAD, Kind, MAX_DOCKERFILE};
use crate::unpack::{UnpackLimits, unpack};
use crate::url::PackageUrl;

/// Gets packages. Several may be loaded side by side.
pub struct Packages {
    fetcher: Fetcher,
    limits: UnpackLimits,
}

impl Packages {
    /// Gets packages from public addresses and from those of `allowed`, under limits.
    ///
    /// # Errors
    /// `Io` when the host's certificates cannot be read.
    pub fn new(
        fetch: FetchLimits,
        unpack: UnpackLimits,
        allowed: Vec<Network>,
    ) -> Result<Self, PackageError> {
        Ok(Self {
            fetcher: Fetcher::new(fetch, allowed)?,
            limits: unpack,
        })
    }

    /// Gets the package at `url` into `dir`, which is made; `say` is told each step in a line.
    ///
    /// A package that is a Dockerfile becomes the file `Dockerfile` there. Dropping the future
    /// ends the work at its next step; a file may still be written at that moment.
    ///
    /// # Errors
    /// See [`PackageError`]. Whatever is in `dir` then is of no use.
    pub async fn load(
        &self,
        url: &PackageUrl,
        dir: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), PackageError> {
        tokio::fs::create_dir_all(dir).await?;
        let fetched = self.fetch(url, dir, say).await?;
        let kind = fetched.kind()?;
        self.store(fetched.file, fetched.size, kind, dir, say).await
    }

    /// Fetches the file at `url`, whatever it is, into a file of the directory `spool`, where it has
    /// no name.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub async fn fetch(
        &self,
        url: &PackageUrl,
        spool: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Fetched, PackageError> {
        self.fetcher.fetch(url, spool, say).await
    }

    /// The same with a package that somebody fetched already into a file.
    ///
    /// # Errors
    /// See [`PackageError`]. Whatever is in `dir` then is of no use.
    pub async fn take(
        &self,
        mut file: File,
        content_type: Option<&str>,
        dir: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), PackageError> {
        tokio::fs::create_dir_all(dir).await?;
        let mut head = Vec::new();
        (&mut file).take(HEAD as u64).read_to_end(&mut head)?;
        file.rewind()?;
        let (size, kind) = (file.metadata()?.len(), Kind::of(content_type, &head)?);
        self.store(file, size, kind, dir, say).await
    }

    async fn store(
        &self,
        file: File,
        size: u64,
        kind: Kind,
        dir: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), PackageError> {
        match kind {
            Kind::Archive(kind) => {
                say(&format!("Unpacking {}", bytes(size)));
                let unpacked = unpack(file, kind, dir, self.limits).await?;
                let (entries, expanded) = (unpacked.entries, bytes(unpacked.expanded));
                say(&format!("Unpacked {entries} entries, {expanded}"));
                Ok(())
            }
            Kind::Dockerfile if size > MAX_DOCKERFILE => Err(PackageError::Unsupported {
                found: format!(
                    "no archive that is known, and longer than a Dockerfile of {}",
                    bytes(MAX_DOCKERFILE)
                ),
            }),
            Kind::Dockerfile => {
                say("The package is a Dockerfile");
                let dir = dir.to_owned();
                tokio::task::spawn_blocking(move || store_dockerfile(file, &dir))
                    .await
                    .map_err(io::Error::other)?
            }
        }
    }
}

fn store_dockerfile(mut package: File, dir: &Path) -> Result<(), PackageError> {
    // Never through a link that is there.
    let mut file = File::create_new(dir.join("Dockerfile"))?;
    io::copy(&mut package, &mut file)?;
    Ok(())
}
