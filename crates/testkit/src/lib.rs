//! What the tests of several crates need around them: a whole farm, a git server, a database of
//! their own, and a way to wait for something to become true.
//!
//! A test that cannot have what it asks for panics, with a sentence that says what is missing.

pub mod farm;
pub mod git;
pub mod github;
mod http;
pub mod postgres;
pub mod processes;
pub mod ssh;
mod wait;

pub use crate::farm::{Backend, TestFarm};
pub use crate::git::GitServer;
pub use crate::github::GithubMock;
pub use crate::http::http;
pub use crate::wait::{wait_for, wait_until};
