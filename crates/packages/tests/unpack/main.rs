//! Archives, friendly and hostile, made byte by byte and unpacked.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod friendly;
mod ground;
mod hostile;
mod makers;
mod properties;
mod script;
