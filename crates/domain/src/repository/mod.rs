//! Source repositories: commits, submodules, and looking builds up by project and commit.

pub mod commit;
pub mod lookup;
pub mod refs;
pub mod submodules;
