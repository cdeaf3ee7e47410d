//! Calls the `git` command line in a hardened way.
//!
//! The runner checks out sources with it. The coordinator resolves refs, describes commits and reads
//! single files. Repositories are not trusted: there are no hooks, no helpers and no settings of the
//! host, and only network protocols are allowed, for submodules as well. Git runs only in directories
//! that this crate created for it, before anything else writes there. Credentials reach git through
//! its environment or an agent, never through arguments, configuration files or output. Every
//! connection goes through `slipway_outbound`, and errors do not contain what a server sent.

mod checkout;
mod command;
mod connection;
mod describe;
mod error;
mod file;
mod lfs;
mod remote;
mod resolve;
mod ssh;
mod submodules;

pub use checkout::{CheckedOut, Source};
pub use command::{Git, Limits};
pub use error::GitError;
pub use file::{CommitFile, FileAt};
pub use remote::{DeployKey, RemoteUrl};
pub use resolve::{Resolved, Wanted};
