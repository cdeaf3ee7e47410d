//! Blob storage: traces, artifacts and other bytes that are too large for the database.
//!
//! A blob has a key such as `traces/42/0` and is replaced or deleted as a whole. This crate does not
//! know jobs: lengths, retention and permissions are in the store. Blobs are kept in a directory or in
//! an S3 bucket.

mod check;
mod connect;
mod error;
mod list;
mod location;
mod read;
mod storage;
mod upload;

pub use error::{BlobError, PutError};
pub use list::Listed;
pub use location::{BlobLocation, BlobLocationError};
pub use read::BlobStream;
pub use storage::Blobs;
pub use upload::Stored;

#[cfg(test)]
mod tests;
