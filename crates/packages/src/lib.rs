//! Packages: build sources that are fetched from a URL instead of a git repository.
//!
//! Neither the URL nor the package is trusted. Packages are fetched only from public addresses and
//! within limits. Archives are unpacked so that nothing outside one directory is written and no link
//! in it leads out. [`unpack()`] also unpacks archives from other origins, and [`restore()`] the files
//! that one job passes to another.

mod error;
mod fetch;
mod kind;
mod load;
mod locate;
pub mod unpack;
mod url;

pub use error::PackageError;
pub use fetch::{FetchLimits, Fetched, Fetcher};
pub use kind::{Archive, Kind};
pub use load::Packages;
pub use locate::locate;
pub use unpack::{RESTORE_LIMITS, UnpackLimits, Unpacked, restore, unpack};
pub use url::PackageUrl;
