//! What is made of the engine's words.

use super::*;
use slipway_domain::base_image::BaseImage;
use std::sync::Mutex;

#[derive(Default)]
struct Told(Mutex<String>);

impl Progress for Told {
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
    narrator.finish(true);
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
