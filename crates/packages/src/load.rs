//! Loads a package from a URL or a file into a directory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use slipway_outbound::NetworkPolicy;

use crate::error::{PackageError, bytes};
use crate::fetch::{FetchLimits, Fetched, Fetcher};
use crate::kind::{HEAD, Kind, MAX_DOCKERFILE};
use crate::unpack::{UnpackLimits, unpack};
use crate::url::PackageUrl;

/// Fetches and unpacks packages, also several concurrently.
pub struct Packages {
    fetcher: Fetcher,
    limits: UnpackLimits,
}

impl Packages {
    /// Creates a loader that fetches from servers that `policy` allows.
    ///
    /// # Errors
    /// `Io` if the host's certificates cannot be read.
    pub fn new(
        fetch: FetchLimits,
        unpack: UnpackLimits,
        policy: NetworkPolicy,
    ) -> Result<Self, PackageError> {
        Ok(Self {
            fetcher: Fetcher::new(fetch, policy)?,
            limits: unpack,
        })
    }

    /// Loads the package at `url` into `dir`, which is created. Calls `report` with a line of progress for
    /// each step.
    ///
    /// A package that is a Dockerfile is stored as `Dockerfile`. Dropping the future stops the work at
    /// its next step; a file may still be written at that moment.
    ///
    /// # Errors
    /// See [`PackageError`]. The contents of `dir` are undefined then.
    pub async fn load(
        &self,
        url: &PackageUrl,
        dir: &Path,
        report: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), PackageError> {
        tokio::fs::create_dir_all(dir).await?;
        let fetched = self.fetch(url, dir, report).await?;
        let kind = fetched.kind()?;
        self.store(fetched.file, fetched.size, kind, dir, report)
            .await
    }

    /// Fetches the file at `url`, of any kind, into an unnamed temporary file in the directory `spool`.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub async fn fetch(
        &self,
        url: &PackageUrl,
        spool: &Path,
        report: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Fetched, PackageError> {
        self.fetcher.fetch(url, spool, report).await
    }

    /// Like [`load`](Self::load), for a package that is already in a file.
    ///
    /// # Errors
    /// See [`PackageError`]. The contents of `dir` are undefined then.
    pub async fn load_file(
        &self,
        mut file: File,
        content_type: Option<&str>,
        dir: &Path,
        report: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), PackageError> {
        tokio::fs::create_dir_all(dir).await?;
        let mut head = Vec::new();
        (&mut file).take(HEAD as u64).read_to_end(&mut head)?;
        file.rewind()?;
        let (size, kind) = (file.metadata()?.len(), Kind::detect(content_type, &head)?);
        self.store(file, size, kind, dir, report).await
    }

    async fn store(
        &self,
        file: File,
        size: u64,
        kind: Kind,
        dir: &Path,
        report: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), PackageError> {
        match kind {
            Kind::Archive(kind) => {
                report(&format!("Unpacking {}", bytes(size)));
                let unpacked = unpack(file, kind, dir, self.limits).await?;
                let (entries, expanded) = (unpacked.entries, bytes(unpacked.expanded));
                report(&format!("Unpacked {entries} entries, {expanded}"));
                Ok(())
            }
            // Any unknown bytes count as a Dockerfile, so the size decides what is plausible.
            Kind::Dockerfile if size > MAX_DOCKERFILE => Err(PackageError::Unsupported {
                found: format!(
                    "not a known archive and larger than the maximum for a Dockerfile, {}",
                    bytes(MAX_DOCKERFILE)
                ),
            }),
            Kind::Dockerfile => {
                report("The package is a Dockerfile");
                // Writes a file, which would block the async runtime.
                let dir = dir.to_owned();
                tokio::task::spawn_blocking(move || store_dockerfile(file, &dir))
                    .await
                    .map_err(io::Error::other)?
            }
        }
    }
}

fn store_dockerfile(mut package: File, dir: &Path) -> Result<(), PackageError> {
    // `create_new` does not follow an existing symbolic link.
    let mut file = File::create_new(dir.join("Dockerfile"))?;
    io::copy(&mut package, &mut file)?;
    Ok(())
}
