//! The output of the classic builder and of Podman, in which each step begins with a heading.

use std::time::Instant;

use slipway_domain::{BuildStep, Phase};

use super::TraceWriter;
use super::output::Output;
use crate::engine::failures::{FailedStep, pulled_image};

/// The running step of the classic builder, or of Podman.
pub(super) struct ClassicStep {
    name: String,
    since: Instant,
    cached: bool,
    output: Output,
}

impl TraceWriter<'_> {
    pub(super) fn handle_classic_output(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            let (line, end) = match line.strip_suffix('\n') {
                Some(line) => (line, "\n"),
                None => (line, ""),
            };
            // The classic builder reports no end of a step: the next one's heading is the end.
            let Some(heading) = classic_heading(line) else {
                self.handle_classic_line(line);
                self.write(&format!("{line}{end}"));
                continue;
            };
            self.end_classic_step(false);
            if pulled_image(&heading).is_some() {
                self.enter(Phase::Pulling);
            } else {
                self.enter(Phase::Building);
            }
            self.write(&format!("{heading}{end}"));
            self.classic_step = Some(ClassicStep {
                name: heading,
                since: Instant::now(),
                cached: false,
                output: Output::default(),
            });
        }
    }

    fn handle_classic_line(&mut self, line: &str) {
        if let Some(step) = &mut self.classic_step {
            let line = line.trim();
            // The classic builder writes `---> Using cache`, Podman `--> Using cache` and the id.
            step.cached |= line.starts_with("--") && line.contains("> Using cache");
            step.output.see(line.as_bytes());
        }
        // A command could write this too, but the builder's line comes after all commands.
        if let Some(id) = line.strip_prefix("Successfully built ") {
            self.image_in_text = Some(id.trim().to_owned());
        }
    }

    /// Reports the running step of the classic builder as ended.
    pub(super) fn end_classic_step(&mut self, has_failed: bool) {
        let Some(step) = self.classic_step.take() else {
            return;
        };
        let duration = step.since.elapsed().as_millis();
        self.progress.step(&BuildStep {
            name: step.name.clone(),
            duration_ms: duration.try_into().unwrap_or(u64::MAX),
            cached: step.cached,
            failed: has_failed,
        });
        if has_failed {
            self.failed = Some(FailedStep {
                name: step.name,
                // The error comes at the end of the answer; `failed_step` fills it in.
                error: String::new(),
                is_foreign: step.output.is_foreign,
                runtime_error: step.output.runtime_error,
            });
        }
    }
}

/// The heading of a step as the classic builder writes it, such as `Step 2/3 : RUN make`. Podman
/// writes `STEP 2/3: RUN make`, with `[1/2] ` in front if there are several stages.
fn classic_heading(line: &str) -> Option<String> {
    if line.starts_with("Step ") && line.contains(" : ") {
        return Some(line.to_owned());
    }
    let rest = match line.strip_prefix('[') {
        Some(rest) => rest.split_once("] ")?.1,
        None => line,
    };
    let (position, instruction) = rest.strip_prefix("STEP ")?.split_once(": ")?;
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    position
        .split('/')
        .all(is_number)
        .then(|| format!("Step {position} : {instruction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_of_podman_become_those_of_the_classic_builder() {
        for (line, heading) in [
            ("Step 2/3 : RUN make", Some("Step 2/3 : RUN make")),
            ("STEP 2/6: RUN make", Some("Step 2/6 : RUN make")),
            (
                "[1/2] STEP 1/3: FROM a AS b",
                Some("Step 1/3 : FROM a AS b"),
            ),
            ("STEP 7: COPY a: /b", Some("Step 7 : COPY a: /b")),
            ("STEP one: RUN make", None),
            ("STEPS 1/2: RUN make", None),
            ("[INFO] STEP", None),
            ("--> 0123456789ab", None),
        ] {
            assert_eq!(classic_heading(line).as_deref(), heading, "{line}");
        }
    }
}
