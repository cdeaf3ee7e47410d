//! The sources of a build that are not in git: a package behind a URL.
//!
//! Neither the URL nor the package is trusted. A package is fetched from public addresses alone,
//! under limits; its archive is unpacked so that nothing outside of one directory is ever written
//! and no link in it leads out. Archives that come from elsewhere can be unpacked with
//! [`unpack()`] as well.

mod address;
mod error;
mod fetch;
mod kind;
mod load;
mod locate;
pub mod unpack;
mod url;

pub use address::Network;
pub use error::PackageError;
pub use fetch::{FetchLimits, Fetched, Fetcher};
pub use kind::{Archive, Kind};
pub use load::Packages;
pub use locate::locate;
pub use unpack::{UnpackLimits, Unpacked, unpack};
pub use url::PackageUrl;
