//! The native API through its routes, over a real farm on a SQLite database of its own.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod builds;
mod doors;
mod people;
mod projects;
mod reads;
mod sources;
mod support;
