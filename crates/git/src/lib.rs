//! Calls the `git` command line in a hardened way.
//!
//! The runner checks out sources with it. The coordinator resolves refs, describes commits and reads
//! single files. Repositories are not trusted: there are no hooks, no helpers and no settings of the
//! host, and only network protocols are allowed, for submodules as well. Credentials reach git
//! through its environment or an agent, never through arguments, configuration files or output.

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
