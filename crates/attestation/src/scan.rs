//! What is installed in a file system that comes as a tar archive. Nothing of it is unpacked: the
//! files that list packages are read on the way, each up to a bound.

mod lists;

use std::collections::BTreeSet;
use std::io::{self, Read};

use self::lists::{apk, dpkg, headers, node, system};

/// How much is read at the most.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimits {
    /// Of the archive, in bytes.
    pub archive: u64,
    /// Of one file that lists packages, in bytes.
    pub file: u64,
    /// Packages.
    pub packages: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self {
            archive: 16 << 30,
            file: 32 << 20,
            packages: 50_000,
        }
    }
}

/// Who installs a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Debian's and its relatives' dpkg.
    Deb,
    /// Alpine's apk.
    Apk,
    /// Python's installers.
    Python,
    /// Node's package managers.
    Node,
}

/// A package that is installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Who installs it.
    pub kind: Kind,
    /// Its name there.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it runs on, where that is said.
    pub arch: Option<String>,
}

/// What is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// The system's word for itself, such as `debian`.
    pub id: Option<String>,
    /// The system's version.
    pub version: Option<String>,
    /// The packages.
    pub packages: BTreeSet<Package>,
    /// Whether everything was read.
    pub is_whole: bool,
}

/// What a file of the archive tells.
enum List {
    System,
    Dpkg,
    Apk,
    Python,
    Node,
}

/// Reads what is installed.
///
/// # Errors
/// When the archive cannot be read, or is none.
pub fn scan(archive: impl Read, limits: &ScanLimits) -> io::Result<Installed> {
    let mut installed = Installed {
        is_whole: true,
        ..Installed::default()
    };
    let mut archive = tar::Archive::new(archive);
    let mut come = 0_u64;
    for entry in archive.entries()? {
        let mut entry = entry?;
        come = come.saturating_add(entry.size());
        if come > limits.archive || installed.packages.len() > limits.packages {
            installed.is_whole = false;
            break;
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let Some(list) = list_at(&String::from_utf8_lossy(&path)) else {
            continue;
        };
        if entry.size() > limits.file {
            installed.is_whole = false;
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        match list {
            List::System => system(&text, &mut installed),
            List::Dpkg => installed.packages.extend(dpkg(&text)),
            List::Apk => installed.packages.extend(apk(&text)),
            List::Python => installed.packages.extend(headers(&text)),
            List::Node => installed.packages.extend(node(&text)),
        }
    }
    Ok(installed)
}

/// What the file at this path tells, if anything.
fn list_at(path: &str) -> Option<List> {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    match path {
        "etc/os-release" | "usr/lib/os-release" => return Some(List::System),
        "var/lib/dpkg/status" => return Some(List::Dpkg),
        "lib/apk/db/installed" | "usr/lib/apk/db/installed" => return Some(List::Apk),
        _ => {}
    }
    // Images without a package manager have a file for each package, and its checksums beside it.
    if let Some(name) = path.strip_prefix("var/lib/dpkg/status.d/") {
        return (!name.contains('/') && !name.ends_with(".md5sums")).then_some(List::Dpkg);
    }
    let names: Vec<&str> = path.split('/').collect();
    match names.as_slice() {
        [.., dir, "METADATA"] if dir.ends_with(".dist-info") => Some(List::Python),
        [.., dir, "PKG-INFO"] if dir.ends_with(".egg-info") => Some(List::Python),
        [.., "node_modules", name, "package.json"] if !name.starts_with('@') => Some(List::Node),
        [.., "node_modules", scope, _, "package.json"] if scope.starts_with('@') => {
            Some(List::Node)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
