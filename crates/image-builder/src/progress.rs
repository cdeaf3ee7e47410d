//! The engine's progress as a readable trace, from either of its builders.
//!
//! BuildKit tells of a graph whose steps run side by side; each step gets a number at its first
//! sign of life, and each of its lines begins with that number. The classic builder writes text.

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
                    let number = self.step(&warning.vertex).number;
                    self.line(number, format!("WARNING: {text}").as_bytes());
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
            self.line(step.number, &step.line);
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
        let step = self.step(&news.digest);
        let (number, was_done) = (step.number, step.done);
        if is_new {
            self.line(number, news.name.as_bytes());
            self.enter_for(&news.name);
        }
        if !news.done || was_done {
            return;
        }
        let step = self.step(&news.digest);
        step.done = true;
        let rest = std::mem::take(&mut step.line);
        if !rest.is_empty() {
            self.line(number, &rest);
        }
        if !news.error.is_empty() {
            self.line(number, format!("ERROR: {}", news.error).as_bytes());
            // Steps beside the one that failed are called off.
            if self.failed.is_none() && !news.error.contains("context canceled") {
                self.failed = Some(FailedStep {
                    name: news.name,
                    error: news.error,
                });
            }
        } else if news.cached {
            self.line(number, b"CACHED");
        } else {
            self.line(
                number,
                format!("DONE {}.{}s", news.millis / 1000, news.millis % 1000 / 100).as_bytes(),
            );
        }
    }

    fn take_output(&mut self, digest: &str, text: &[u8]) {
        let step = self.step(digest);
        let number = step.number;
        let mut text = [std::mem::take(&mut step.line).as_slice(), text].concat();
        let end = text.iter().rposition(|byte| *byte == b'\n');
        let end = end.map_or(0, |at| at + 1);
        let rest = text.split_off(end);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            self.line(number, line.strip_suffix(b"\n").unwrap_or(line));
        }
        if rest.len() > MAX_LINE {
            self.line(number, &rest);
        } else {
            self.step(digest).line = rest;
        }
    }

    fn step(&mut self, digest: &str) -> &mut Step {
        let number = self.steps.len() + 1;
        self.steps.entry(digest.to_owned()).or_insert_with(|| Step {
            number,
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

    fn line(&self, number: usize, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = [format!("#{number} ").as_bytes(), line, b"\n"].concat();
        self.progress.output(&line);
    }

    fn say(&self, text: &str) {
        self.progress.output(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Told(Mutex<String>);

    impl Progress for Told {
        fn phase(&self, phase: Phase) {
            self.output(format!("[{phase}]\n").as_bytes());
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
            "#1 [internal] load metadata for a:1\n[pulling]\n#2 [1/2] RUN a\n[building]\n\
             #2 one\n#3 [2/2] RUN b\n#3 CACHED\n#2 two\n#2 three\n#2 ERROR: exit code: 1\n"
        );
        assert_eq!(narrator.failed.unwrap().name, "[1/2] RUN a");
    }
}
