//! Renders an answer of the engine that was not received from one.

use crate::engine::build_call::read_message;
use crate::engine::failures::build_error;
use crate::engine::trace_writer::TraceWriter;
use crate::progress::Progress;
use slipway_domain::ImageBuild;

/// Renders the engine's answer to a build request as a build does, and returns whether the build
/// succeeded. For answers that were recorded, or made up by a fuzzer.
pub fn replay(answer: &[u8], progress: &dyn Progress) -> bool {
    let mut trace = TraceWriter::new(progress);
    let mut lines = answer.split(|byte| *byte == b'\n');
    let read = lines.try_for_each(|line| read_message(line, &mut |info| trace.handle(info)));
    trace.finish(read.is_err());
    if let Err(error) = read {
        let step = trace.failed_step(&error.to_string());
        build_error(error, step.as_ref(), &ImageBuild::default());
        return false;
    }
    trace.image.is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use slipway_domain::base_image::BaseImage;
    use slipway_domain::{BuildStep, Phase};

    use super::*;

    #[derive(Default)]
    struct Durations(Mutex<Vec<u64>>);

    impl Progress for Durations {
        fn phase(&self, _: Phase) {}

        fn base_image(&self, _: &BaseImage) {}

        fn step(&self, step: &BuildStep) {
            self.0.lock().unwrap().push(step.duration_ms);
        }

        fn output(&self, _: &[u8]) {}
    }

    /// A message of BuildKit: the step `a` started at `start` and completed at `end`, in seconds.
    fn step(start: i64, end: i64) -> String {
        fn time(seconds: i64) -> Vec<u8> {
            let mut rest = seconds.cast_unsigned();
            let mut bytes = vec![0x08];
            while rest >= 0x80 {
                bytes.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
            bytes
        }
        fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
            [&[tag, u8::try_from(bytes.len()).unwrap()], bytes].concat()
        }
        let vertex = [
            field(0x0a, b"a"),
            field(0x2a, &time(start)),
            field(0x32, &time(end)),
        ];
        let status = STANDARD.encode(field(0x0a, &vertex.concat()));
        format!("{{\"id\":\"moby.buildkit.trace\",\"aux\":\"{status}\"}}")
    }

    #[test]
    fn a_step_with_impossible_times_is_reported() {
        for (start, end, expected) in [
            (1, 3, 2000),
            (3, 1, 0),
            (i64::MIN, i64::MAX, i64::MAX.cast_unsigned()),
        ] {
            let durations = Durations::default();
            replay(step(start, end).as_bytes(), &durations);
            assert_eq!(*durations.0.lock().unwrap(), [expected]);
        }
    }
}
