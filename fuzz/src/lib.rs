//! Fuzz targets: one for each parser that reads what strangers send.
//!
//! `cargo xtask fuzz` feeds them with inputs that libFuzzer finds. `tests/corpora.rs` feeds them with the
//! small inputs in `corpus/`, in every test run. A target panics if something that must hold does not.

#![expect(
    clippy::unwrap_used,
    reason = "a target is a test: a failed unwrap is a finding"
)]

#[cfg(feature = "apis")]
mod api;
mod definition;
mod ignore_file;
mod line_headers;
mod masker;
mod progress;
mod ranges;
mod unpacking;

// Builds archives byte by byte, and checks what unpacking them does. These modules name each other from
// the root of the crate.
#[expect(dead_code, reason = "the tests of packages use more of it")]
#[path = "../../crates/packages/tests/unpack/archives.rs"]
mod archives;
#[expect(dead_code, reason = "the tests of packages use more of it")]
#[path = "../../crates/packages/tests/unpack/fixture.rs"]
mod fixture;
#[path = "../../crates/packages/tests/unpack/generated.rs"]
mod generated;

/// A started target, which takes one input after the other.
pub type Run = Box<dyn FnMut(&[u8])>;

/// A parser, and what must hold for each input.
pub struct Target {
    /// Also the name of the directory of its inputs, below `corpus/`.
    pub name: &'static str,
    /// Prepares what all inputs share.
    pub start: fn() -> Run,
}

/// All targets. The names of those that need a whole farm begin with `api-`.
pub const TARGETS: &[Target] = &[
    Target {
        name: "definition",
        start: || Box::new(definition::run),
    },
    Target {
        name: "ignore-file",
        start: ignore_file::start,
    },
    Target {
        name: "line-headers",
        start: || Box::new(line_headers::run),
    },
    Target {
        name: "masker",
        start: || Box::new(masker::run),
    },
    Target {
        name: "progress",
        start: || Box::new(progress::run),
    },
    Target {
        name: "range",
        start: || Box::new(ranges::run),
    },
    Target {
        name: "restore",
        start: unpacking::start_restoring,
    },
    Target {
        name: "unpack",
        start: unpacking::start_unpacking,
    },
    #[cfg(feature = "apis")]
    Target {
        name: "api-requests",
        start: api::requests::start,
    },
    #[cfg(feature = "apis")]
    Target {
        name: "api-traces",
        start: api::traces::start,
    },
    #[cfg(feature = "apis")]
    Target {
        name: "api-webhooks",
        start: api::webhooks::start,
    },
];

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
