//! Complete sessions of each generation of stock runners, replayed byte by byte from `*.http` files.
//! The files were written from the protocol description; none was captured from a runner.
//!
//! A file is a list of steps, each with a title after `### `. Lines that start with `@` act on the
//! farm before the request:
//!
//! - `@build` creates a build of one job; `@build first second` creates jobs of which each needs the
//!   previous one;
//! - `@cancel` cancels the current job;
//! - `@state WORD` and `@trace "JSON string"` assert the state and trace of the current job.
//!
//! The request stands between `>>>` and `<<<`: head, empty line, body. Names such as `<RUNNER>` are
//! replaced with values that earlier steps saved; `<LENGTH>` is the length of the body, `<FROM>` and
//! `<TO>` are the start and end of a trace chunk. A chunked body is sent in two chunks. The status
//! follows `<<<`, and then the assertions on the response:
//!
//! - `Name: value` is a header, `!Name` a header that must be absent;
//! - `/json/pointer JSON` is a member of the body; `/json/pointer > NAME` saves a member;
//! - `Name > NAME` saves a header;
//! - `"JSON string"` is the whole body.
//!
//! See `docs/protocols/runner-v1.md#client-versions`.

use std::collections::HashMap;

use serde_json::Value;
use slipway_domain::JobId;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::RunnerApi;
use crate::raw_http::{Connection, RawResponse};

on_both_back_ends!(
    session_of_runner_0_5,
    session_of_runner_0_7,
    session_of_runner_1_0,
    session_of_runner_1_3,
    session_of_runner_1_6,
    session_of_runner_1_11,
);

async fn session_of_runner_0_5(backend: Backend) {
    replay(backend, include_str!("0.5.http")).await;
}

async fn session_of_runner_0_7(backend: Backend) {
    replay(backend, include_str!("0.7.http")).await;
}

async fn session_of_runner_1_0(backend: Backend) {
    replay(backend, include_str!("1.0.http")).await;
}

async fn session_of_runner_1_3(backend: Backend) {
    replay(backend, include_str!("1.3.http")).await;
}

async fn session_of_runner_1_6(backend: Backend) {
    replay(backend, include_str!("1.6.http")).await;
}

async fn session_of_runner_1_11(backend: Backend) {
    replay(backend, include_str!("1.11.http")).await;
}

/// A farm, its connection, and the values that the steps have saved.
struct Replay {
    farm: TestFarm,
    connection: Connection,
    saved: HashMap<String, String>,
    /// The acknowledged length of the current job's trace.
    acknowledged: usize,
}

async fn replay(backend: Backend, file: &str) {
    let farm = TestFarm::start(backend).await;
    let connection = Connection::to(&RunnerApi::new(&farm)).await;
    let registration = farm.registration_token.clone();
    let mut replay = Replay {
        farm,
        connection,
        saved: HashMap::from([("REGISTRATION".to_owned(), registration)]),
        acknowledged: 0,
    };
    let mut count = 0;
    for step in file.split("### ").skip(1) {
        let (title, step) = step.split_once('\n').unwrap();
        replay.step(title, step).await;
        count += 1;
    }
    assert!(count > 5, "the file has too few steps");
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
            assert!(
                exchange.is_none(),
                "{title}: the request has no expected response"
            );
            return;
        };
        let response = self.send(title, request).await;
        self.compare(title, expected, &response);
    }

    async fn act(&mut self, title: &str, action: &str) {
        let (name, rest) = action.split_once(' ').unwrap_or((action, ""));
        match name {
            "@build" => {
                let project = self.farm.project("acme/api").await;
                let names: Vec<&str> = match rest {
                    "" => vec!["image"],
                    names => names.split(' ').collect(),
                };
                let needs: Vec<&[&str]> = std::iter::once(&[][..]).chain(names.chunks(1)).collect();
                let jobs: Vec<_> = names.iter().copied().zip(needs).collect();
                self.farm.build_of(&project, &jobs).await;
                self.acknowledged = 0;
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
            other => panic!("{title}: unknown action {other}"),
        }
    }

    fn job(&self) -> JobId {
        self.saved["JOB"].parse().unwrap()
    }

    /// Sends a request from the file and returns the response.
    async fn send(&mut self, title: &str, request: &str) -> RawResponse {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        // Lines of a form end with CRLF, like those of the head.
        let is_form = head.contains("\nContent-Type: multipart/form-data");
        let body = self.fill(title, body);
        let body = if is_form {
            body.replace('\n', "\r\n")
        } else {
            body
        };
        let is_chunk = head.starts_with("PATCH ");
        let end = self.acknowledged + body.len();
        self.save("LENGTH", body.len().to_string());
        if is_chunk {
            self.save("FROM", self.acknowledged.to_string());
            self.save("TO", end.to_string());
        }
        let head = self.fill(title, head).replace('\n', "\r\n");
        self.connection.send(format!("{head}\r\n\r\n")).await;
        if head.contains("\r\nExpect: 100-continue") {
            let interim = self.connection.response().await;
            assert_eq!(interim.status, 100, "{title}: {interim:?}");
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
        let response = self.connection.response().await;
        if header(&response, "Connection") == Some("close") {
            self.connection = Connection::to(&RunnerApi::new(&self.farm)).await;
        }
        if is_chunk && response.status == 202 {
            self.acknowledged = end;
        }
        response
    }

    fn compare(&mut self, title: &str, expected: &str, response: &RawResponse) {
        let mut lines = expected.lines().filter(|line| !line.is_empty());
        let status = lines.next().unwrap().trim();
        assert_eq!(response.status.to_string(), status, "{title}: {response:?}");
        let json = serde_json::from_str(&response.body).unwrap_or(Value::Null);
        for line in lines {
            if let Some(name) = line.strip_prefix('!') {
                assert_eq!(header(response, name), None, "{title}: {name}");
            } else if let Some(pointed) = line.strip_prefix('/') {
                let (pointer, expected) = pointed.split_once(' ').unwrap();
                let member = json.pointer(&format!("/{pointer}"));
                let member = member.cloned().unwrap_or(Value::Null);
                match expected.strip_prefix("> ") {
                    Some(name) => self.save(name, as_text(&member)),
                    None => {
                        let expected = self.fill(title, expected);
                        let expected: Value = serde_json::from_str(&expected).unwrap();
                        assert_eq!(member, expected, "{title}: {line}\n{response:?}");
                    }
                }
            } else if line.starts_with('"') {
                let expected: String = serde_json::from_str(line).unwrap();
                assert_eq!(response.body, expected, "{title}");
            } else if let Some((name, saved_as)) = line.split_once(" > ") {
                let value = header(response, name).unwrap_or_else(|| panic!("{title}: {name}"));
                self.save(saved_as, value.to_owned());
            } else {
                let (name, value) = line.split_once(": ").unwrap();
                let value = self.fill(title, value);
                assert_eq!(
                    header(response, name),
                    Some(value.as_str()),
                    "{title}: {name}"
                );
            }
        }
    }

    fn save(&mut self, name: &str, value: String) {
        assert!(!value.is_empty(), "{name}");
        self.saved.insert(name.to_owned(), value);
    }

    /// Replaces names such as `<RUNNER>` with the saved values.
    fn fill(&self, title: &str, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.saved {
            text = text.replace(&format!("<{name}>"), value);
        }
        let unknown = text
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split('>').next());
        for name in unknown {
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase());
            assert!(!is_name, "{title}: no value was saved as {name}");
        }
        text
    }
}

fn header<'a>(response: &'a RawResponse, name: &str) -> Option<&'a str> {
    response.head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
