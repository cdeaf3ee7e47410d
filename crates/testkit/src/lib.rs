//! Fixtures for the tests of several crates: a whole farm, a git server, a database for one test, and
//! waiting for a condition.
//!
//! Every function panics if it cannot do what the test asks for, with a message that says what is
//! missing.

pub mod farm;
pub mod git;
pub mod github;
mod http;
mod outbound;
pub mod postgres;
pub mod processes;
pub mod proxy;
mod small_disk;
pub mod ssh;
mod wait;

pub use crate::farm::{Backend, TestFarm};
pub use crate::git::GitServer;
pub use crate::github::GithubMock;
pub use crate::http::http;
pub use crate::outbound::{LOOPBACK, outbound};
pub use crate::small_disk::SmallDisk;
pub use crate::wait::{wait_for, wait_until};
