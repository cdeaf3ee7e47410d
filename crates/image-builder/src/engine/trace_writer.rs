//! Renders the progress of either of the engine's builders as a readable trace.
//!
//! BuildKit reports a graph of steps that run in parallel. Each step of the Dockerfile starts with
//! a line such as `Step 2/3 : RUN make`, as the classic builder writes it, and each line of its
//! output begins with its label, here `#2/3`. Internal steps of BuildKit are labeled with a number.

mod classic;
mod output;

use std::collections::HashMap;

use bollard::models::{BuildInfo, BuildInfoAux};
use slipway_domain::{BuildStep, Phase};

use self::classic::ClassicStep;
use self::output::Output;
use crate::engine::failures::{FailedStep, pulled_image, shorten};
use crate::engine::resolved_bases::ResolvedBases;
use crate::progress::Progress;

/// The longest unfinished line that is buffered, in bytes.
const MAX_LINE: usize = 16 * 1024;

/// The prefix of the name of a step that looks for layers in an image. It fails if there is no such
/// image, and the build goes on without.
const CACHE_IMPORT: &str = "importing cache manifest from ";

/// Turns the engine's messages into the trace, and collects the outcome of the build.
pub(crate) struct TraceWriter<'a> {
    progress: &'a dyn Progress,
    /// BuildKit's steps by digest.
    steps: HashMap<String, Step>,
    phase: Option<Phase>,
    classic_step: Option<ClassicStep>,
    /// The digest of the step whose unfinished line is at the end of the trace.
    open_line: Option<String>,
    /// The first step that failed by itself.
    pub(crate) failed: Option<FailedStep>,
    /// The id of the image, once it is complete.
    pub(crate) image: Option<String>,
    /// The id of the image in the text of the classic builder. Some versions of Podman report it in
    /// no other way.
    image_in_text: Option<String>,
    /// The base images that BuildKit used.
    pub(crate) bases: ResolvedBases,
}

#[derive(Default)]
struct Step {
    /// The order in which steps began.
    number: usize,
    /// The prefix of its lines.
    label: String,
    done: bool,
    /// The start of a line that is not finished.
    line: Vec<u8>,
    output: Output,
}

/// The state of one BuildKit step in one message. BuildKit repeats it in later messages.
#[derive(Default)]
struct StepStatus {
    digest: String,
    name: String,
    started: bool,
    done: bool,
    cached: bool,
    error: String,
    duration_ms: u64,
}

impl<'a> TraceWriter<'a> {
    pub(crate) fn new(progress: &'a dyn Progress) -> Self {
        Self {
            progress,
            steps: HashMap::new(),
            phase: None,
            classic_step: None,
            open_line: None,
            failed: None,
            image: None,
            image_in_text: None,
            bases: ResolvedBases::default(),
        }
    }

    /// Processes one message of the engine.
    pub(crate) fn handle(&mut self, info: BuildInfo) {
        if let Some(text) = &info.stream {
            self.handle_classic_output(text);
        }
        match info.aux {
            Some(BuildInfoAux::BuildKit(status)) => {
                for vertex in status.vertexes {
                    self.bases.note(&vertex.name);
                    // A broken engine may send any numbers.
                    let millis = match (&vertex.started, &vertex.completed) {
                        (Some(from), Some(to)) => {
                            let nanos = i64::from(to.nanos) - i64::from(from.nanos);
                            let seconds = to.seconds.saturating_sub(from.seconds);
                            seconds
                                .saturating_mul(1000)
                                .saturating_add(nanos / 1_000_000)
                        }
                        _ => 0,
                    };
                    self.handle_status(StepStatus {
                        started: vertex.started.is_some(),
                        done: vertex.completed.is_some(),
                        digest: vertex.digest,
                        name: vertex.name,
                        cached: vertex.cached,
                        error: vertex.error,
                        duration_ms: u64::try_from(millis).unwrap_or(0),
                    });
                }
                for output in status.logs {
                    self.handle_output(&output.vertex, &output.msg);
                }
                for warning in status.warnings {
                    let text = String::from_utf8_lossy(&warning.short).into_owned();
                    let label = self.step(&warning.vertex).label.clone();
                    self.write_line(&label, format!("WARNING: {text}").as_bytes());
                }
            }
            Some(BuildInfoAux::Default(image)) => self.image = image.id,
            None => {}
        }
        // A pull of the classic builder. Its progress bars are of no use in a trace.
        if let (Some(status), None) = (&info.status, &info.progress_detail) {
            self.enter(Phase::Pulling);
            self.write(&format!("{status}\n"));
        }
    }

    /// Writes the unfinished lines of a build that has ended.
    pub(crate) fn finish(&mut self, has_failed: bool) {
        self.end_classic_step(has_failed);
        self.image = self.image.take().or(self.image_in_text.take());
        let mut steps: Vec<(String, Step)> = std::mem::take(&mut self.steps).into_iter().collect();
        steps.sort_by_key(|(_, step)| step.number);
        for (digest, step) in steps.iter().filter(|(_, step)| !step.line.is_empty()) {
            self.write_step_line(digest, &step.label, &step.line);
        }
        self.end_line();
    }

    /// Discards the outcome so far, and writes why the build starts over.
    pub(crate) fn restart(&mut self, why: &str) {
        self.finish(true);
        self.failed = None;
        self.image = None;
        self.bases = ResolvedBases::default();
        self.progress.build_restarted();
        self.write(&format!("{why}; building again\n"));
    }

    /// The step that failed, with `error` as its message if the step has none.
    pub(crate) fn failed_step(&self, error: &str) -> Option<FailedStep> {
        let mut failed = self.failed.clone()?;
        if failed.error.is_empty() {
            failed.error = error.to_owned();
        }
        Some(failed)
    }

    fn handle_status(&mut self, status: StepStatus) {
        // BuildKit announces its whole graph first. A step is shown once something happens to it.
        if !status.started && !status.cached && status.error.is_empty() {
            return;
        }
        let is_new = !self.steps.contains_key(&status.digest);
        let heading = heading(&status.name);
        let step = self.step(&status.digest);
        if let (true, Some((label, _))) = (is_new, &heading) {
            step.label.clone_from(label);
        }
        let (label, was_done) = (step.label.clone(), step.done);
        if is_new {
            match heading {
                Some((_, heading)) => self.write(&format!("{heading}\n")),
                None => self.write_line(&label, status.name.as_bytes()),
            }
            self.enter_phase_of(&status.name);
        }
        if status.done && !was_done {
            self.end_step(status, &label);
        }
    }

    /// Reports a step of BuildKit as ended, and writes its last lines.
    fn end_step(&mut self, status: StepStatus, label: &str) {
        let step = self.step(&status.digest);
        step.done = true;
        let rest = std::mem::take(&mut step.line);
        step.output.see(&rest);
        let output = std::mem::take(&mut step.output);
        if !rest.is_empty() {
            self.write_step_line(&status.digest, label, &rest);
        }
        let failed = !status.error.is_empty();
        if let (true, Some(image)) = (failed, status.name.strip_prefix(CACHE_IMPORT)) {
            let why = shorten(&status.error);
            self.write(&format!("No layers reused from {image}: {why}\n"));
            return;
        }
        self.progress.step(&BuildStep {
            name: status.name.clone(),
            duration_ms: status.duration_ms,
            cached: status.cached,
            failed,
        });
        if failed {
            self.write_line(label, format!("ERROR: {}", status.error).as_bytes());
            // When one step fails, BuildKit cancels the steps that run next to it.
            if self.failed.is_none() && !status.error.contains("context canceled") {
                self.failed = Some(FailedStep {
                    name: status.name,
                    error: status.error,
                    is_foreign: output.is_foreign,
                    runtime_error: output.runtime_error,
                });
            }
        } else if status.cached {
            self.write_line(label, b"CACHED");
        } else {
            let (seconds, tenths) = (status.duration_ms / 1000, status.duration_ms % 1000 / 100);
            self.write_line(label, format!("DONE {seconds}.{tenths}s").as_bytes());
        }
    }

    /// Writes the finished lines of a step's output, and buffers the rest until its line is
    /// complete, so that lines of parallel steps do not mix.
    fn handle_output(&mut self, digest: &str, text: &[u8]) {
        let step = self.step(digest);
        let label = step.label.clone();
        let mut text = [std::mem::take(&mut step.line).as_slice(), text].concat();
        let end = text.iter().rposition(|byte| *byte == b'\n');
        let rest = text.split_off(end.map_or(0, |at| at + 1));
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.step(digest).output.see(line);
            self.write_step_line(digest, &label, line);
        }
        if rest.len() > MAX_LINE {
            // The line continues without a break: a secret could span the break, and the masker
            // finds only whole secrets.
            if self.open_line.as_deref() != Some(digest) {
                self.end_line();
                self.write(&format!("#{label} "));
            }
            self.progress.output(&rest);
            self.open_line = Some(digest.to_owned());
        } else {
            self.step(digest).line = rest;
        }
    }

    fn step(&mut self, digest: &str) -> &mut Step {
        let number = self.steps.len() + 1;
        self.steps.entry(digest.to_owned()).or_insert_with(|| Step {
            number,
            label: number.to_string(),
            ..Step::default()
        })
    }

    fn enter_phase_of(&mut self, step: &str) {
        if pulled_image(step).is_some() {
            // Another stage may pull its base while the first one builds; that is no step back.
            if self.phase.is_none() {
                self.enter(Phase::Pulling);
            }
        } else if !step.starts_with("[internal]") {
            self.enter(Phase::Building);
        }
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            self.progress.phase(phase);
        }
    }

    /// Writes a line of a step, or the rest of its line that is open.
    fn write_step_line(&mut self, digest: &str, label: &str, line: &[u8]) {
        if self.open_line.as_deref() == Some(digest) {
            self.open_line = None;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.progress.output(&[line, b"\n"].concat());
        } else {
            self.write_line(label, line);
        }
    }

    fn write_line(&mut self, label: &str, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = [format!("#{label} ").as_bytes(), line, b"\n"].concat();
        self.end_line();
        self.progress.output(&line);
    }

    fn write(&mut self, text: &str) {
        self.end_line();
        self.progress.output(text.as_bytes());
    }

    fn end_line(&mut self) {
        if self.open_line.take().is_some() {
            self.progress.output(b"\n");
        }
    }
}

/// The label and the heading of a step of the Dockerfile, which BuildKit names like
/// `[2/3] RUN make` or `[stage 2/3] RUN make`; `None` for other steps.
fn heading(name: &str) -> Option<(String, String)> {
    let (label, instruction) = name.strip_prefix('[')?.split_once("] ")?;
    // The stage may be preceded by a platform, as in `[linux/arm64 build 1/4]`.
    let (stage, position) = match label.rsplit_once(' ') {
        Some((stage, position)) => (stage.rsplit(' ').next(), position),
        None => (None, label),
    };
    let (step, count) = position.split_once('/')?;
    if step.parse::<u32>().is_err() || count.parse::<u32>().is_err() {
        return None;
    }
    // The Dockerfile has the stage's name in its FROM. BuildKit's own names are `stage-N`.
    let stage =
        stage.filter(|stage| !stage.starts_with("stage-") && instruction.starts_with("FROM "));
    let suffix = stage.map_or_else(String::new, |stage| format!(" as {stage}"));
    let heading = format!("Step {position} : {instruction}{suffix}");
    Some((label.to_owned(), heading))
}

#[cfg(test)]
mod tests;
