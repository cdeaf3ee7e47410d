//! Archives, friendly and hostile, made byte by byte and unpacked.

mod friendly;
mod ground;
mod hostile;
mod makers;
mod properties;
mod script;
