//! Installed packages.

use std::collections::BTreeSet;

/// The package manager that installs a package, which decides the form of its package URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageType {
    /// dpkg of Debian and its derivatives.
    Deb,
    /// Alpine's apk.
    Apk,
    Python,
    Node,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub package_type: PackageType,
    pub name: String,
    pub version: String,
    /// The architecture, if the package manager records it.
    pub arch: Option<String>,
}

/// All packages that are installed in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstalledPackages {
    /// The id of the operating system, such as `debian`.
    pub id: Option<String>,
    /// The version of the operating system.
    pub version: Option<String>,
    pub packages: BTreeSet<Package>,
    /// Whether everything was read; `false` if a limit was exceeded.
    pub is_complete: bool,
}
