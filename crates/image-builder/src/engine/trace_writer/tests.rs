//! How the engine's messages look in the trace.

use super::*;
use slipway_domain::base_image::BaseImage;
use std::sync::Mutex;

#[derive(Default)]
struct RecordedProgress(Mutex<String>);

impl Progress for RecordedProgress {
    fn phase(&self, phase: Phase) {
        self.output(format!("[{phase}]\n").as_bytes());
    }

    fn base_image(&self, base: &BaseImage) {
        self.output(format!("[{base}]\n").as_bytes());
    }

    fn output(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        self.0.lock().unwrap().push_str(&text);
    }
}

fn status(digest: &str, name: &str) -> StepStatus {
    StepStatus {
        digest: digest.to_owned(),
        name: name.to_owned(),
        started: true,
        ..StepStatus::default()
    }
}

#[test]
fn parallel_steps_have_labels_and_each_is_written_once() {
    let progress = RecordedProgress::default();
    let mut trace = TraceWriter::new(&progress);
    trace.handle_status(status("m", "[internal] load metadata for a:1"));
    trace.handle_status(status("a", "[1/2] RUN a"));
    trace.handle_status(status("a", "[1/2] RUN a"));
    trace.handle_output("a", b"one\ntw");
    trace.handle_status(StepStatus {
        cached: true,
        done: true,
        ..status("b", "[2/2] RUN b")
    });
    trace.handle_output("a", b"o\r\nthree");
    for _ in 0..2 {
        trace.handle_status(StepStatus {
            done: true,
            error: "exit code: 1".to_owned(),
            ..status("a", "[1/2] RUN a")
        });
    }
    trace.finish(true);
    assert_eq!(
        *progress.0.lock().unwrap(),
        "#1 [internal] load metadata for a:1\n[pulling]\nStep 1/2 : RUN a\n[building]\n\
         #1/2 one\nStep 2/2 : RUN b\n#2/2 CACHED\n#1/2 two\n#1/2 three\n\
         #1/2 ERROR: exit code: 1\n"
    );
    assert_eq!(trace.failed.unwrap().name, "[1/2] RUN a");
}

#[test]
fn headings_look_like_those_of_the_classic_builder() {
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
