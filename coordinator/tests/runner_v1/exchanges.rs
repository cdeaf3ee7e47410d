//! What each generation of stock runners sends, replayed byte by byte from the files in
//! `exchanges/`. They are written from the protocol's description; none was captured from a runner.
//!
//! A file is a list of steps that begin with `### ` and a title. Lines with `@` before a request are
//! what happens at the farm meanwhile:
//!
//! - `@build` asks for a build of one job, `@build first second` for jobs of which each needs the
//!   one before it;
//! - `@cancel` calls the present job off;
//! - `@state WORD` and `@trace "JSON string"` say how the present job is now.
//!
//! A request is what stands between `>>>` and `<<<`: its head, an empty line, its body. Names such
//! as `<RUNNER>` stand for what an earlier step kept; `<LENGTH>` is the body's length, `<FROM>` and
//! `<TO>` are where a piece of a trace begins and ends. A chunked body goes in two chunks. After
//! `<<<` come the status and what is expected of the answer:
//!
//! - `Name: value` is a header, `!Name` one that must not be there;
//! - `/json/pointer JSON` is a member of the body, `/json/pointer > NAME` one that is kept;
//! - `Name > NAME` keeps a header;
//! - `"JSON string"` is the whole body.

use std::collections::HashMap;

use serde_json::Value;
use slipway_domain::JobId;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::RunnerApi;
use crate::raw_http::{Connection, RawAnswer};

on_both_back_ends!(
    runners_of_0_5,
    runners_of_0_7,
    runners_of_1_0,
    runners_of_1_3,
    runners_of_1_6,
    runners_of_1_11,
);

async fn runners_of_0_5(backend: Backend) {
    replay(backend, include_str!("exchanges/0.5.http")).await;
}

async fn runners_of_0_7(backend: Backend) {
    replay(backend, include_str!("exchanges/0.7.http")).await;
}

async fn runners_of_1_0(backend: Backend) {
    replay(backend, include_str!("exchanges/1.0.http")).await;
}

async fn runners_of_1_3(backend: Backend) {
    replay(backend, include_str!("exchanges/1.3.http")).await;
}

async fn runners_of_1_6(backend: Backend) {
    replay(backend, include_str!("exchanges/1.6.http")).await;
}

async fn runners_of_1_11(backend: Backend) {
    replay(backend, include_str!("exchanges/1.11.http")).await;
}

/// A farm, and what the steps so far have left.
struct Replay {
    farm: TestFarm,
    connection: Connection,
    kept: HashMap<String, String>,
    /// How much of the present job's trace was sent in pieces.
    sent: usize,
}

async fn replay(backend: Backend, file: &str) {
    let farm = TestFarm::start(backend).await;
    let connection = Connection::to(&RunnerApi::new(&farm)).await;
    let registration = farm.registration_token.clone();
    let mut replay = Replay {
        farm,
        connection,
        kept: HashMap::from([("REGISTRATION".to_owned(), registration)]),
        sent: 0,
    };
    let mut count = 0;
    for step in file.split("### ").skip(1) {
        let (title, step) = step.split_once('\n').unwrap();
        replay.step(title, step).await;
        count += 1;
    }
    assert!(count > 5, "the file was not read");
}

impl Replay {
    async fn step(&mut self, title: &str, step: &str) {
        let (actions, exchange) = match step.split_once(">>>\n") {
            Some((actions, exchange)) => (actions, Some(exchange)),
            None => (step, None),
        };
        for action in actions.lines().filter(|line| line.starts_with('@')) {
            self.act(title, action).await;
        }
        let Some((request, expected)) = exchange.and_then(|text| text.split_once("\n<<< ")) else {
            assert!(exchange.is_none(), "{title}: there is no answer to expect");
            return;
        };
        let answer = self.send(title, request).await;
        self.compare(title, expected, &answer);
    }

    async fn act(&mut self, title: &str, action: &str) {
        let (word, rest) = action.split_once(' ').unwrap_or((action, ""));
        match word {
            "@build" => {
                let project = self.farm.project("acme/api").await;
                let names: Vec<&str> = match rest {
                    "" => vec!["image"],
                    names => names.split(' ').collect(),
                };
                let before: Vec<&[&str]> =
                    std::iter::once(&[][..]).chain(names.chunks(1)).collect();
                let jobs: Vec<_> = names.iter().copied().zip(before).collect();
                self.farm.build_of(&project, &jobs).await;
                self.sent = 0;
            }
            "@cancel" => self.farm.cancel(self.job()).await,
            "@state" => {
                let state = self.farm.job(self.job()).await.state;
                assert_eq!(state.name(), rest, "{title}");
            }
            "@trace" => {
                let expected: String = serde_json::from_str(rest).unwrap();
                let trace = self.farm.trace(self.job()).await;
                assert_eq!(String::from_utf8_lossy(&trace), expected, "{title}");
            }
            other => panic!("{title}: {other} is no action"),
        }
    }

    fn job(&self) -> JobId {
        self.kept["JOB"].parse().unwrap()
    }

    /// Sends a request as it stands in the file.
    async fn send(&mut self, title: &str, request: &str) -> RawAnswer {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        // A form's lines end as those of a head do.
        let is_form = head.contains("\nContent-Type: multipart/form-data");
        let body = self.filled(title, body);
        let body = match is_form {
            true => body.replace('\n', "\r\n"),
            false => body,
        };
        let is_piece = head.starts_with("PATCH ");
        let end = self.sent + body.len();
        self.keep("LENGTH", body.len().to_string());
        if is_piece {
            self.keep("FROM", self.sent.to_string());
            self.keep("TO", end.to_string());
        }
        let head = self.filled(title, head).replace('\n', "\r\n");
        self.connection.send(format!("{head}\r\n\r\n")).await;
        if head.contains("\r\nExpect: 100-continue") {
            let go_on = self.connection.answer().await;
            assert_eq!(go_on.status, 100, "{title}: {go_on:?}");
        }
        if head.contains("\r\nTransfer-Encoding: chunked") {
            let (first, second) = body.split_at(body.len() / 2);
            for chunk in [first, second, ""] {
                let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
                self.connection.send(chunk).await;
            }
        } else {
            self.connection.send(body).await;
        }
        let answer = self.connection.answer().await;
        if header(&answer, "Connection") == Some("close") {
            self.connection = Connection::to(&RunnerApi::new(&self.farm)).await;
        }
        if is_piece && answer.status == 202 {
            self.sent = end;
        }
        answer
    }

    fn compare(&mut self, title: &str, expected: &str, answer: &RawAnswer) {
        let mut lines = expected.lines().filter(|line| !line.is_empty());
        let status = lines.next().unwrap().trim();
        assert_eq!(answer.status.to_string(), status, "{title}: {answer:?}");
        let json = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        for line in lines {
            if let Some(name) = line.strip_prefix('!') {
                assert_eq!(header(answer, name), None, "{title}: {name}");
            } else if let Some(pointed) = line.strip_prefix('/') {
                let (pointer, wanted) = pointed.split_once(' ').unwrap();
                let member = json.pointer(&format!("/{pointer}"));
                let member = member.cloned().unwrap_or(Value::Null);
                match wanted.strip_prefix("> ") {
                    Some(name) => self.keep(name, plain(&member)),
                    None => {
                        let wanted = self.filled(title, wanted);
                        let wanted: Value = serde_json::from_str(&wanted).unwrap();
                        assert_eq!(member, wanted, "{title}: {line}\n{answer:?}");
                    }
                }
            } else if line.starts_with('"') {
                let wanted: String = serde_json::from_str(line).unwrap();
                assert_eq!(answer.body, wanted, "{title}");
            } else if let Some((name, kept)) = line.split_once(" > ") {
                let value = header(answer, name).unwrap_or_else(|| panic!("{title}: {name}"));
                self.keep(kept, value.to_owned());
            } else {
                let (name, value) = line.split_once(": ").unwrap();
                let value = self.filled(title, value);
                assert_eq!(
                    header(answer, name),
                    Some(value.as_str()),
                    "{title}: {name}"
                );
            }
        }
    }

    fn keep(&mut self, name: &str, value: String) {
        assert!(!value.is_empty(), "{name}");
        self.kept.insert(name.to_owned(), value);
    }

    /// The text with what was kept in the place of names.
    fn filled(&self, title: &str, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.kept {
            text = text.replace(&format!("<{name}>"), value);
        }
        let left = text
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split('>').next());
        for name in left {
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase());
            assert!(!is_name, "{title}: nothing was kept as {name}");
        }
        text
    }
}

fn header<'a>(answer: &'a RawAnswer, name: &str) -> Option<&'a str> {
    answer.head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
