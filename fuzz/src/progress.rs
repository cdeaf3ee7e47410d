//! Renders arbitrary bytes as the engine's answer to a build request.
//!
//! The first byte decides whether the rest is an answer, or messages of BuildKit: for each message two
//! bytes for its length, and the message, which is wrapped as the engine does it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use slipway_domain::Phase;
use slipway_domain::base_image::BaseImage;
use slipway_image_builder::{Progress, replay};

/// Every answer is rendered, or ends the build with an error.
pub(crate) fn run(bytes: &[u8]) {
    let Some((mode, rest)) = bytes.split_first() else {
        return;
    };
    if mode % 2 == 0 {
        replay(rest, &Discarded);
    } else {
        replay(wrapped(rest).as_bytes(), &Discarded);
    }
}

fn wrapped(mut bytes: &[u8]) -> String {
    let mut answer = String::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        let message = STANDARD.encode(message);
        writeln!(
            answer,
            r#"{{"id":"moby.buildkit.trace","aux":"{message}"}}"#
        )
        .unwrap();
        bytes = rest;
    }
    answer
}

struct Discarded;

impl Progress for Discarded {
    fn phase(&self, _: Phase) {}

    fn base_image(&self, _: &BaseImage) {}

    fn output(&self, _: &[u8]) {}
}
