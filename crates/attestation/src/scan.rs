//! Finds the packages that are installed in a file system, which comes as a tar archive.
//!
//! Nothing is unpacked: the files that list packages are read while the archive streams by, each up
//! to a limit.

mod lists;
mod package;

use std::io::{self, Read};

use self::lists::{apk, dpkg, node, python, system};
pub use self::package::{InstalledPackages, Package, PackageType};

/// The most that a scan reads.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimits {
    /// Of the archive, in bytes.
    pub archive: u64,
    /// Of one file that lists packages, in bytes.
    pub file: u64,
    /// The number of packages after which no further file is read.
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

/// The format of a file that lists packages or describes the system.
enum ListFormat {
    OsRelease,
    Dpkg,
    Apk,
    Python,
    Node,
}

/// Lists the installed packages.
///
/// # Errors
/// If the archive cannot be read or is truncated.
pub fn scan(archive: impl Read, limits: &ScanLimits) -> io::Result<InstalledPackages> {
    let mut installed = InstalledPackages {
        is_complete: true,
        ..InstalledPackages::default()
    };
    let mut archive = tar::Archive::new(archive);
    let mut seen_bytes = 0_u64;
    for entry in archive.entries()? {
        let mut entry = entry?;
        // Skipped entries count too: they are read all the same.
        seen_bytes = seen_bytes.saturating_add(entry.size());
        if seen_bytes > limits.archive || installed.packages.len() > limits.packages {
            installed.is_complete = false;
            break;
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let Some(format) = list_format(&String::from_utf8_lossy(&path)) else {
            continue;
        };
        if entry.size() > limits.file {
            installed.is_complete = false;
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        // One odd byte in a description must not hide all other packages.
        let text = String::from_utf8_lossy(&bytes);
        match format {
            ListFormat::OsRelease => system(&text, &mut installed),
            ListFormat::Dpkg => installed.packages.extend(dpkg(&text)),
            ListFormat::Apk => installed.packages.extend(apk(&text)),
            ListFormat::Python => installed.packages.extend(python(&text)),
            ListFormat::Node => installed.packages.extend(node(&text)),
        }
    }
    Ok(installed)
}

/// The format of the file at this path; `None` if it lists nothing.
fn list_format(path: &str) -> Option<ListFormat> {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    match path {
        "etc/os-release" | "usr/lib/os-release" => return Some(ListFormat::OsRelease),
        "var/lib/dpkg/status" => return Some(ListFormat::Dpkg),
        "lib/apk/db/installed" | "usr/lib/apk/db/installed" => return Some(ListFormat::Apk),
        _ => {}
    }
    // Images without a package manager have one file per package, with its checksums next to it.
    if let Some(name) = path.strip_prefix("var/lib/dpkg/status.d/") {
        return (!name.contains('/') && !name.ends_with(".md5sums")).then_some(ListFormat::Dpkg);
    }
    let names: Vec<&str> = path.split('/').collect();
    match names.as_slice() {
        [.., dir, "METADATA"] if dir.ends_with(".dist-info") => Some(ListFormat::Python),
        [.., dir, "PKG-INFO"] if dir.ends_with(".egg-info") => Some(ListFormat::Python),
        // A `package.json` deeper inside a package describes no package of its own.
        [.., "node_modules", name, "package.json"] if !name.starts_with('@') => {
            Some(ListFormat::Node)
        }
        [.., "node_modules", scope, _, "package.json"] if scope.starts_with('@') => {
            Some(ListFormat::Node)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
