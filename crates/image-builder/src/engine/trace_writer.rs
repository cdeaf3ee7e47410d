//! The engine's progress as a readable trace, from either of its builders.
//!
//! BuildKit tells of a graph whose steps run side by side. Each step of the Dockerfile is headed by
//! a line such as `Step 2/3 : RUN make`, as the classic builder writes it, and each of its lines
//! begins with what it is called, here `#2/3`; what BuildKit does besides has a number.

use std::collections::HashMap;
use std::time::Instant;

use bollard::models::{BuildInfo, BuildInfoAux};
use slipway_domain::{BuildStep, Phase};

use crate::engine::failures::{FailedStep, base_image, shorten};
use crate::request::Progress;

/// Up to how many bytes of an unfinished line are kept back.
const MAX_LINE: usize = 16 * 1024;
/// With which words the engine tells, in the output of a step, that its command is for another
/// processor.
const OTHER_PROCESSOR: &[&str] = &["standard_init_linux.go:", "exec /"];

/// How the step is called that looks for layers in an image. That there is none is no failure.
const IMPORT: &str = "importing cache manifest from ";

/// Turns what the engine tells into the trace, and remembers what matters in the end.
pub(crate) struct Narrator<'a> {
    progress: &'a dyn Progress,
    steps: HashMap<String, Step>,
    phase: Option<Phase>,
    classic_step: Option<ClassicStep>,
    /// The step whose unfinished line is the last of the trace.
    open_line: Option<String>,
    /// The first step that failed by itself.
    pub(crate) failed: Option<FailedStep>,
    /// The image's id, once the engine told it.
    pub(crate) image: Option<String>,
}

#[derive(Default)]
struct Step {
    number: usize,
    /// What its lines begin with.
    label: String,
    done: bool,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Whether its command is for another processor.
    is_foreign: bool,
}

/// The step that the classic builder is at.
struct ClassicStep {
    name: String,
    since: Instant,
    cached: bool,
    is_foreign: bool,
}

/// What BuildKit says of one step; it repeats itself.
#[derive(Default)]
struct News {
    digest: String,
    name: String,
    begun: bool,
    done: bool,
    cached: bool,
    error: String,
    millis: u64,
}

impl<'a> Narrator<'a> {
    /// Begins a trace.
    pub(crate) fn new(progress: &'a dyn Progress) -> Self {
        Self {
            progress,
            steps: HashMap::new(),
            phase: None,
            classic_step: None,
            open_line: None,
            failed: None,
            image: None,
        }
    }

    /// Takes one message of the engine.
    pub(crate) fn take(&mut self, info: BuildInfo) {
        if let Some(text) = &info.stream {
            self.take_classic(text);
        }
        match info.aux {
            Some(BuildInfoAux::BuildKit(status)) => {
                for vertex in status.vertexes {
                    let millis = match (&vertex.started, &vertex.completed) {
                        (Some(from), Some(to)) => {
                            (to.seconds - from.seconds) * 1000
                                + i64::from(to.nanos - from.nanos) / 1_000_000
                        }
                        _ => 0,
                    };
                    self.take_news(News {
                        begun: vertex.started.is_some(),
                        done: vertex.completed.is_some(),
                        digest: vertex.digest,
                        name: vertex.name,
                        cached: vertex.cached,
                        error: vertex.error,
                        millis: u64::try_from(millis).unwrap_or(0),
                    });
                }
                for output in status.logs {
                    self.take_output(&output.vertex, &output.msg);
                }
                for warning in status.warnings {
                    let text = String::from_utf8_lossy(&warning.short).into_owned();
                    let label = self.step(&warning.vertex).label.clone();
                    self.line(&label, format!("WARNING: {text}").as_bytes());
                }
            }
            Some(BuildInfoAux::Default(image)) => self.image = image.id,
            None => {}
        }
        // A pull of the classic builder; its progress bars are of no use in a trace.
        if let (Some(status), None) = (&info.status, &info.progress_detail) {
            self.enter(Phase::Pulling);
            self.say(&format!("{status}\n"));
        }
    }

    /// Writes out what was kept back of unfinished lines, of a build that ended so.
    pub(crate) fn finish(&mut self, has_failed: bool) {
        self.end_classic(has_failed);
        let mut steps: Vec<(String, Step)> = std::mem::take(&mut self.steps).into_iter().collect();
        steps.sort_by_key(|(_, step)| step.number);
        for (digest, step) in steps.iter().filter(|(_, step)| !step.line.is_empty()) {
            self.line_of(digest, &step.label, &step.line);
        }
        self.end_line();
    }

    /// Tells why the build begins again after it ended for no fault of its own.
    pub(crate) fn begin_again(&mut self, why: &str) {
        self.finish(true);
        self.failed = None;
        self.image = None;
        self.progress.begins_again();
        self.say(&format!("{why}; building again\n"));
    }

    /// The step that failed.
    pub(crate) fn failed_step(&self, error: &str) -> Option<FailedStep> {
        let mut failed = self.failed.clone()?;
        if failed.error.is_empty() {
            failed.error = error.to_owned();
        }
        Some(failed)
    }

    fn take_classic(&mut self, text: &str) {
        for line in text.lines() {
            if line.starts_with("Step ") && line.contains(" : ") {
                self.end_classic(false);
                self.classic_step = Some(ClassicStep {
                    name: line.to_owned(),
                    since: Instant::now(),
                    cached: false,
                    is_foreign: false,
                });
                match base_image(line) {
                    Some(_) => self.enter(Phase::Pulling),
                    None => self.enter(Phase::Building),
                }
            } else if let Some(step) = &mut self.classic_step {
                step.cached |= line.trim() == "---> Using cache";
                step.is_foreign |= is_foreign(line.as_bytes());
            }
        }
        self.say(text);
    }

    /// Ends the step that the classic builder was at.
    fn end_classic(&mut self, has_failed: bool) {
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
                // The end of the answer tells it.
                error: String::new(),
                is_foreign: step.is_foreign,
            });
        }
    }

    fn take_news(&mut self, news: News) {
        if !news.begun && !news.cached && news.error.is_empty() {
            return;
        }
        let is_new = !self.steps.contains_key(&news.digest);
        let heading = heading(&news.name);
        let step = self.step(&news.digest);
        if let (true, Some((label, _))) = (is_new, &heading) {
            step.label.clone_from(label);
        }
        let (label, was_done) = (step.label.clone(), step.done);
        if is_new {
            match heading {
                Some((_, heading)) => self.say(&format!("{heading}\n")),
                None => self.line(&label, news.name.as_bytes()),
            }
            self.enter_for(&news.name);
        }
        if !news.done || was_done {
            return;
        }
        let step = self.step(&news.digest);
        step.done = true;
        let is_foreign = step.is_foreign;
        let rest = std::mem::take(&mut step.line);
        if !rest.is_empty() {
            self.line_of(&news.digest, &label, &rest);
        }
        let failed = !news.error.is_empty();
        if let (true, Some(image)) = (failed, news.name.strip_prefix(IMPORT)) {
            let why = shorten(&news.error);
            self.say(&format!("Nothing is taken from {image}: {why}\n"));
            return;
        }
        self.progress.step(&BuildStep {
            name: news.name.clone(),
            duration_ms: news.millis,
            cached: news.cached,
            failed,
        });
        if failed {
            self.line(&label, format!("ERROR: {}", news.error).as_bytes());
            // Steps beside the one that failed are called off.
            if self.failed.is_none() && !news.error.contains("context canceled") {
                self.failed = Some(FailedStep {
                    name: news.name,
                    error: news.error,
                    is_foreign,
                });
            }
        } else if news.cached {
            self.line(&label, b"CACHED");
        } else {
            self.line(
                &label,
                format!("DONE {}.{}s", news.millis / 1000, news.millis % 1000 / 100).as_bytes(),
            );
        }
    }

    fn take_output(&mut self, digest: &str, text: &[u8]) {
        let step = self.step(digest);
        let label = step.label.clone();
        let mut text = [std::mem::take(&mut step.line).as_slice(), text].concat();
        let end = text.iter().rposition(|byte| *byte == b'\n');
        let end = end.map_or(0, |at| at + 1);
        let rest = text.split_off(end);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            if is_foreign(line) {
                self.step(digest).is_foreign = true;
            }
            self.line_of(digest, &label, line);
        }
        if rest.len() > MAX_LINE {
            // A secret may stand where the line is cut, and must be whole to be found.
            if self.open_line.as_deref() != Some(digest) {
                self.end_line();
                self.say(&format!("#{label} "));
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

    fn enter_for(&mut self, step: &str) {
        if base_image(step).is_some() {
            // A stage whose base is fetched while another one builds does not take the build back.
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

    /// Writes a line of a step, or the end of its line that was begun.
    fn line_of(&mut self, digest: &str, label: &str, line: &[u8]) {
        if self.open_line.as_deref() == Some(digest) {
            self.open_line = None;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.progress.output(&[line, b"\n"].concat());
        } else {
            self.line(label, line);
        }
    }

    fn line(&mut self, label: &str, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = [format!("#{label} ").as_bytes(), line, b"\n"].concat();
        self.end_line();
        self.progress.output(&line);
    }

    fn say(&mut self, text: &str) {
        self.end_line();
        self.progress.output(text.as_bytes());
    }

    fn end_line(&mut self) {
        if self.open_line.take().is_some() {
            self.progress.output(b"\n");
        }
    }
}

/// Whether this line of a step's output says that its command is for another processor.
fn is_foreign(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let is_engine = OTHER_PROCESSOR.iter().any(|words| line.starts_with(words));
    is_engine && line.trim_end().ends_with("exec format error")
}

/// What a step of the Dockerfile is called, and the line that heads it, where BuildKit names it like
/// `[2/3] RUN make` or `[stage 2/3] RUN make`.
fn heading(name: &str) -> Option<(String, String)> {
    let (label, instruction) = name.strip_prefix('[')?.split_once("] ")?;
    let (stage, position) = match label.rsplit_once(' ') {
        Some((stage, position)) => (stage.rsplit(' ').next(), position),
        None => (None, label),
    };
    let (step, of) = position.split_once('/')?;
    if step.parse::<u32>().is_err() || of.parse::<u32>().is_err() {
        return None;
    }
    // The name of a stage stands where the Dockerfile has it.
    let stage = stage.filter(|stage| !stage.starts_with("stage-"));
    let stage = stage.filter(|_| instruction.starts_with("FROM "));
    let stage = stage.map(|stage| format!(" as {stage}"));
    let stage = stage.unwrap_or_default();
    let heading = format!("Step {position} : {instruction}{stage}");
    Some((label.to_owned(), heading))
}

#[cfg(test)]
mod tests;
