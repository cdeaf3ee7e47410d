//! Packages of newer suites of Debian, unpacked into a directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::process::output_of;
use crate::scratch;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A suite of Debian.
#[derive(Clone, Copy, Debug)]
pub(super) enum Suite {
    /// Has Podman 4.3.
    Bookworm,
    /// Has Docker 26.1.
    Trixie,
    /// Has Docker 28.5 with its builder, and Podman 5.8.
    Sid,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            // `netavark` gives Podman's containers a network; its first versions need `iptables`.
            Self::Bookworm => &["podman", "netavark", "iptables", "runc"],
            Self::Trixie => &["docker.io"],
            Self::Sid => &["docker.io", "docker-buildx", "podman", "netavark"],
        }
    }
}

/// Returns the directory with the unpacked packages of a suite and all that they depend on, after
/// downloading them if necessary. It stays for later runs.
pub(super) async fn unpacked(suite: Suite) -> Result<PathBuf> {
    let home = scratch()?.join("engines").join(suite.name());
    let root = home.join("root");
    let wanted = suite.packages().join("\n");
    // Written last, so that an interrupted download is not mistaken for a complete one.
    let complete = home.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|unpacked| unpacked == wanted) {
        return Ok(root);
    }
    println!(
        "downloading {} of Debian {}",
        suite.packages().join(", "),
        suite.name()
    );
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    let archives = download(suite, &home.join("apt")).await?;
    fs::create_dir_all(&root)?;
    for archive in archives {
        unpack(&archive, &root).await?;
    }
    fs::remove_dir_all(home.join("apt"))?;
    fs::write(complete, wanted)?;
    Ok(root)
}

/// Downloads the packages with a private state of `apt`, in which no package is installed. Returns
/// the archives.
async fn download(suite: Suite, apt: &Path) -> Result<Vec<PathBuf>> {
    for directory in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(directory))?;
    }
    let (status, sources) = (apt.join("status"), apt.join("sources.list"));
    fs::write(&status, "")?;
    fs::write(&sources, source_line(suite).await?)?;
    let settings = [
        format!("Dir::State={}", apt.join("state").display()),
        format!("Dir::State::status={}", status.display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::Languages=none".to_owned(),
    ];
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.arg("-q").args(arguments);
        for setting in &settings {
            command.arg("-o").arg(setting);
        }
        command
    };
    output_of(&mut apt_get(&["update"])).await?;
    let mut install = apt_get(&[
        "install",
        "--yes",
        "--download-only",
        "--no-install-recommends",
    ]);
    output_of(install.args(suite.packages())).await?;
    let entries = fs::read_dir(apt.join("cache/archives"))?;
    let files = entries.map(|entry| Ok(entry?.path()));
    let archives: Vec<PathBuf> = files.collect::<Result<_>>()?;
    let is_archive = |path: &PathBuf| path.extension().is_some_and(|end| end == "deb");
    Ok(archives.into_iter().filter(is_archive).collect())
}

/// The line of `sources.list` for a suite, at the address of this machine's own suite.
async fn source_line(suite: Suite) -> Result<String> {
    let release = fs::read_to_string("/etc/os-release")?;
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("this machine does not run Debian")?;
    let mut targets = Command::new("apt-get");
    let format = "$(RELEASE) $(COMPONENT) $(REPO_URI)";
    targets.args(["indextargets", "--format", format, "Created-By: Packages"]);
    let targets = output_of(&mut targets).await?;
    let address = targets
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{codename} main ")))
        .with_context(|| format!("apt has no source for Debian {codename}"))?;
    let signed_by = if Path::new(KEYRING).exists() {
        format!("[signed-by={KEYRING}] ")
    } else {
        String::new()
    };
    Ok(format!("deb {signed_by}{address} {} main\n", suite.name()))
}

/// Unpacks the files of a package, without running its scripts.
async fn unpack(archive: &Path, root: &Path) -> Result<()> {
    let mut read = Command::new("dpkg-deb");
    read.arg("--fsys-tarfile").arg(archive);
    let mut read = read.stdout(Stdio::piped()).spawn()?;
    let files = read.stdout.take().context("the output is not captured")?;
    let files: Stdio = files.try_into()?;
    let mut write = Command::new("tar");
    write.args(["--extract", "--keep-directory-symlink", "--directory"]);
    let written = write.arg(root).stdin(files).status().await?;
    let is_read = read.wait().await?;
    ensure!(
        written.success() && is_read.success(),
        "could not unpack {}",
        archive.display()
    );
    Ok(())
}
