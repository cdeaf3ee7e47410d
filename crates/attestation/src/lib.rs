//! Documents about an image: how it was built (provenance), and which packages it contains (SBOM).
//!
//! Pure functions turn facts into JSON, and a scanner finds the installed packages in a tar archive
//! of a file system. Collecting facts and sending documents is left to the caller.

mod document;
mod package_url;
mod provenance;
mod sbom;
mod scan;

pub use document::{PROVENANCE_TYPE, SBOM_TYPE, Subject, map_texts};
pub use provenance::{BUILD_TYPE, BuildFacts, ResolvedBase, Source, provenance};
pub use sbom::sbom;
pub use scan::{InstalledPackages, Package, PackageType, ScanLimits, scan};
