//! The one hardened way to call the `git` command line.
//!
//! The runner checks sources out with it, the coordinator asks remotes where a ref points, what a
//! commit is, and what is in one file of it. What a repository contains is never trusted: no hooks,
//! no helpers, no settings of the host, and only network protocols, for its submodules as well.
//! Credentials reach git through its environment or an agent, never through its arguments, its
//! configuration files or its output.

mod checkout;
mod command;
mod describe;
mod error;
mod file;
mod lfs;
mod remote;
mod resolve;
mod ssh;
mod submodules;

pub use checkout::Source;
pub use command::{Git, Limits};
pub use error::GitError;
pub use file::{CommitFile, FileAt};
pub use remote::{DeployKey, RemoteUrl};
pub use resolve::{Resolved, Wanted};
