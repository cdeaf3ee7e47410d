//! The program that libFuzzer runs. The variable `FUZZ_TARGET` names the target.
#![no_main]

use std::cell::RefCell;

use slipway_fuzz::{Run, target};

thread_local! {
    /// Started once: libFuzzer passes all inputs in one thread.
    static RUN: RefCell<Run> = RefCell::new(start());
}

fn start() -> Run {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some(target) = target(&name) else {
        panic!("FUZZ_TARGET must name a target, but is {name:?}");
    };
    (target.start)()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| RUN.with_borrow_mut(|run| run(bytes)));
