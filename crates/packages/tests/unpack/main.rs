//! Unpacks valid and hostile archives that are built byte by byte.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod archives;
mod fixture;
mod generated;
mod hostile;
mod properties;
mod restored;
mod valid;
