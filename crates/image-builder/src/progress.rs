//! The engine's progress as a readable trace, from either of its builders.
//!
//! BuildKit tells of a graph whose steps run side by side. Each step of the Dockerfile is headed by
//! a line such as `Step 2/3 : RUN make`, as the classic builder writes it, and each of its lines
//! begins with what it is called, here `#2/3`; what BuildKit does besides has a number.

use std::collections::HashMap;

use bollard::models::{BuildInfo, BuildInfoAux};
use slipway_domain::Phase;

use crate::classify::{FailedStep, base_image};
use crate::request::Progress;

/// Up to how many bytes of an unfinished line are kept back.
const MAX_LINE: usize = 16 * 1024;

/// Turns what the engine tells into the trace, and remembers what matters in the end.
pub(crate) struct Narrator<'a> {
    progress: &'a dyn Progress,
    steps: HashMap<String, Step>,
    phase: Option<Phase>,
    classic_step: Option<String>,
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

    /// Writes out what was kept back of unfinished lines.
    pub(crate) fn finish(&mut self) {
        let mut steps: Vec<Step> = std::mem::take(&mut self.steps).into_values().collect();
        steps.sort_by_key(|step| step.number);
        for step in steps.iter().filter(|step| !step.line.is_empty()) {
            self.line(&step.label, &step.line);
        }
    }

    /// The step that failed, or with the classic builder the one that ran last.
    pub(crate) fn failed_step(&self, error: &str) -> Option<FailedStep> {
        let classic = || {
            self.classic_step.clone().map(|name| FailedStep {
                name,
                error: error.to_owned(),
            })
        };
        self.failed.clone().or_else(classic)
    }

    fn take_classic(&mut self, text: &str) {
        for line in text.lines() {
            if line.starts_with("Step ") && line.contains(" : ") {
                self.classic_step = Some(line.to_owned());
                match base_image(line) {
                    Some(_) => self.enter(Phase::Pulling),
                    None => self.enter(Phase::Building),
                }
            }
        }
        self.say(text);
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
        let rest = std::mem::take(&mut step.line);
        if !rest.is_empty() {
            self.line(&label, &rest);
        }
        if !news.error.is_empty() {
            self.line(&label, format!("ERROR: {}", news.error).as_bytes());
            // Steps beside the one that failed are called off.
            if self.failed.is_none() && !news.error.contains("context canceled") {
                self.failed = Some(FailedStep {
                    name: news.name,
                    error: news.error,
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
            self.line(&label, line.strip_suffix(b"\n").unwrap_or(line));
        }
        if rest.len() > MAX_LINE {
            self.line(&label, &rest);
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

    fn line(&self, label: &str, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = [format!("#{label} ").as_bytes(), line, b"\n"].concat();
        self.progress.output(&line);
    }

    fn say(&self, text: &str) {
        self.progress.output(text.as_bytes());
    }
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
mod tests {
    use super::*;
    use slipway_domain::base_image::BaseImageUse;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Told(Mutex<String>);

    impl Progress for Told {
        fn phase(&self, phase: Phase) {
            self.output(format!("[{phase}]\n").as_bytes());
        }

        fn base_image(&self, base: &BaseImageUse) {
            self.output(format!("[{base}]\n").as_bytes());
        }

        fn output(&self, text: &[u8]) {
            let text = String::from_utf8_lossy(text);
            self.0.lock().unwrap().push_str(&text);
        }
    }

    fn news(digest: &str, name: &str) -> News {
        News {
            digest: digest.to_owned(),
            name: name.to_owned(),
            begun: true,
            ..News::default()
        }
    }

    #[test]
    fn steps_side_by_side_are_told_apart_and_each_is_told_once() {
        let told = Told::default();
        let mut narrator = Narrator::new(&told);
        narrator.take_news(news("m", "[internal] load metadata for a:1"));
        narrator.take_news(news("a", "[1/2] RUN a"));
        narrator.take_news(news("a", "[1/2] RUN a"));
        narrator.take_output("a", b"one\ntw");
        narrator.take_news(News {
            cached: true,
            done: true,
            ..news("b", "[2/2] RUN b")
        });
        narrator.take_output("a", b"o\r\nthree");
        for _ in 0..2 {
            narrator.take_news(News {
                done: true,
                error: "exit code: 1".to_owned(),
                ..news("a", "[1/2] RUN a")
            });
        }
        narrator.finish();
        assert_eq!(
            *told.0.lock().unwrap(),
            "#1 [internal] load metadata for a:1\n[pulling]\nStep 1/2 : RUN a\n[building]\n\
             #1/2 one\nStep 2/2 : RUN b\n#2/2 CACHED\n#1/2 two\n#1/2 three\n\
             #1/2 ERROR: exit code: 1\n"
        );
        assert_eq!(narrator.failed.unwrap().name, "[1/2] RUN a");
    }

    #[test]
    fn steps_are_headed_as_the_classic_builder_does() {
        for (name, label, expected) in [
            ("[2/3] RUN make", "2/3", "Step 2/3 : RUN make"),
            (
                "[1/3] FROM a:1@sha256:0",
                "1/3",
                "Step 1/3 : FROM a:1@sha256:0",
            ),
            (
                "[build 1/4] FROM a",
                "build 1/4",
                "Step 1/4 : FROM a as build",
            ),
            ("[stage-1 1/4] FROM a", "stage-1 1/4", "Step 1/4 : FROM a"),
            ("[build 2/4] COPY . /x", "build 2/4", "Step 2/4 : COPY . /x"),
            (
                "[linux/arm64 build 1/4] FROM a",
                "linux/arm64 build 1/4",
                "Step 1/4 : FROM a as build",
            ),
        ] {
            let expected = Some((label.to_owned(), expected.to_owned()));
            assert_eq!(heading(name), expected, "{name}");
        }
        for name in [
            "[internal] load metadata for a",
            "exporting to image",
            "[a/b] RUN",
        ] {
            assert_eq!(heading(name), None, "{name}");
        }
    }
}
