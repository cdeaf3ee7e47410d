//! A whole farm, and requests to it as text.
//!
//! An input is a request: its method and path, its headers, an empty line, and its body. The address,
//! the protocol version and the length of the body are added. Names in braces, such as `{admin}`, are
//! replaced by credentials and ids of this farm, so that inputs reach what is behind authentication.

pub(crate) mod requests;
pub(crate) mod traces;
pub(crate) mod webhooks;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;
use slipway_testkit::{Backend, TestFarm};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// How long an answer may take. A fuzzed process is slow, and other work may run beside it.
const LIMIT: Duration = Duration::from_secs(20);
/// How much of an answer is read, in bytes. Streams of live logs have no end.
const MAX_ANSWER: usize = 1 << 20;
/// The secret of the farm's webhooks.
const SECRET: &str = "a-secret-of-the-farm";
/// Headers that say where the request ends. They are added by this module.
const FRAMING: [&str; 5] = [
    "connection",
    "content-length",
    "expect",
    "transfer-encoding",
    "upgrade",
];

/// A farm with the project `acme/api` and a running job.
pub(crate) struct Api {
    /// `None` only while this is dropped.
    farm: Option<TestFarm>,
    runtime: Runtime,
    address: SocketAddr,
    runner: String,
    job: String,
    job_id: String,
    _files: TempDir,
}

/// A request as text.
pub(crate) struct Request<'a> {
    head: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// What the farm answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl<'a> Request<'a> {
    /// Splits an input at its first empty line.
    pub(crate) fn parse(input: &'a [u8]) -> Self {
        let end = input.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = input.split_at(end.unwrap_or(input.len()));
        Self {
            head,
            body: body.get(2..).unwrap_or_default(),
        }
    }

    /// Whether the text names this value of the farm.
    pub(crate) fn names(&self, value: &str) -> bool {
        let contains = |text: &[u8]| {
            let mut parts = text.windows(value.len());
            parts.any(|part| part == value.as_bytes())
        };
        contains(self.head) || contains(self.body)
    }
}

impl Api {
    pub(crate) fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let files = tempfile::tempdir().unwrap();
        let secret = files.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let farm = runtime.block_on(TestFarm::start_with(Backend::Sqlite, |config| {
            config.registry = Some("registry.example".to_owned());
            config.limits.poll_wait_s = Duration::from_millis(10);
            config.forges.github_webhook_secret_file = Some(secret.clone());
            config.forges.gitlab_webhook_secret_file = Some(secret.clone());
            config.forges.gitea_webhook_secret_file = Some(secret);
        }));
        let address = farm.url("").trim_start_matches("http://").parse().unwrap();
        let mut api = Self {
            farm: Some(farm),
            runtime,
            address,
            runner: String::new(),
            job: String::new(),
            job_id: String::new(),
            _files: files,
        };
        api.runner = api.register_runner();
        api.claim();
        api
    }

    fn farm(&self) -> &TestFarm {
        self.farm.as_ref().unwrap()
    }

    fn register_runner(&self) -> String {
        let body = json!({
            "token": self.farm().registration_token, "description": "fuzzed",
            "info": {"features": {"variables": true, "image": true}},
        });
        let created = self.call_json("/ci/api/v1/runners/register.json", &body);
        created["token"].as_str().unwrap().to_owned()
    }

    /// Creates a build, and claims its job.
    pub(crate) fn claim(&mut self) {
        self.runtime.block_on(async {
            let project = self.farm().project("acme/api").await;
            self.farm().build(&project).await;
        });
        let body = json!({"token": self.runner, "info": {"features": {"variables": true}}});
        let claimed = self.call_json("/ci/api/v1/builds/register.json", &body);
        self.job_id = claimed["id"].to_string();
        self.job = claimed["token"].as_str().unwrap().to_owned();
    }

    fn call_json(&self, path: &str, body: &Value) -> Value {
        let head = format!("POST {path}\ncontent-type: application/json\nuser-agent: fuzz");
        let answer = self.send(&Request {
            head: head.as_bytes(),
            body: body.to_string().as_bytes(),
        });
        let answer = answer.expect("a valid request");
        assert_eq!(answer.status, 201, "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Sends a request, and returns the answer; `None` if the text is not a request.
    ///
    /// Panics if there is no answer, or one that reports a fault of the farm.
    pub(crate) fn send(&self, request: &Request<'_>) -> Option<Answer> {
        let body = self.filled(request.body, &[]);
        let head = self.filled(request.head, &body);
        let head = head_of(&head, body.len())?;
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // The farm may answer, and close, before it has read everything.
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&body));
        let answer = read_answer(&mut stream, &head);
        let _ = stream.shutdown(Shutdown::Both);
        assert_ne!(answer.status, 500, "{head}\n{}", answer.text());
        if answer.head.contains("content-type: application/json") && answer.is_whole() {
            let parsed = serde_json::from_slice::<Value>(&answer.body);
            assert!(parsed.is_ok(), "{head}\n{}", answer.text());
        }
        Some(answer)
    }

    /// Replaces the names in braces. Signatures are those of `signed`.
    fn filled(&self, text: &[u8], signed: &[u8]) -> Vec<u8> {
        let mut filled = text.to_vec();
        let sha256 = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        let sha256 = hex::encode(sha256.chain_update(signed).finalize().into_bytes());
        let sha1 = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
        let sha1 = hex::encode(sha1.chain_update(signed).finalize().into_bytes());
        for (name, value) in [
            ("{admin}", self.farm().admin_token.as_str()),
            ("{registration}", self.farm().registration_token.as_str()),
            ("{runner}", self.runner.as_str()),
            ("{job}", self.job.as_str()),
            ("{job_id}", self.job_id.as_str()),
            ("{secret}", SECRET),
            ("{sha256}", &sha256),
            ("{sha1}", &sha1),
        ] {
            filled = replaced(&filled, name.as_bytes(), value.as_bytes());
        }
        filled
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // Parts of a farm end in the runtime that they were started in.
        let farm = self.farm.take();
        self.runtime.block_on(async { drop(farm) });
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}", self.head, String::from_utf8_lossy(&self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            (found == name).then_some(value)
        })
    }

    fn is_whole(&self) -> bool {
        let length = self.header("content-length");
        length.is_some_and(|length| length.parse() == Ok(self.body.len())) && !self.body.is_empty()
    }
}

fn replaced(text: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(name.len()).position(|part| part == name) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(value);
        rest = &rest[at + name.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// The head as it is sent; `None` if it is not the head of a request, which is no parser of ours.
fn head_of(head: &[u8], body: usize) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    if !head
        .bytes()
        .all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte))
    {
        return None;
    }
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_method || method == "CONNECT" || !path.starts_with('/') || path.contains(' ') {
        return None;
    }
    let mut sent =
        format!("{method} {path} HTTP/1.1\r\nhost: farm.example\r\nconnection: close\r\n");
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_name || name.eq_ignore_ascii_case("host") {
            return None;
        }
        if !FRAMING
            .iter()
            .any(|framing| name.eq_ignore_ascii_case(framing))
        {
            sent.push_str(&format!("{name}: {}\r\n", value.trim()));
        }
    }
    Some(format!("{sent}content-length: {body}\r\n\r\n"))
}

/// Reads an answer to its end, or as much of it as a stream has sent at first.
fn read_answer(stream: &mut TcpStream, request: &str) -> Answer {
    let start = Instant::now();
    let mut read = Vec::new();
    let mut buffer = [0; 16 << 10];
    let mut head_end = None;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => read.extend_from_slice(&buffer[..length]),
            // The farm closed the connection with a part of the request unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("no answer after {:?}: {error}\n{request}", start.elapsed()),
        }
        head_end = head_end.or_else(|| read.windows(4).position(|part| part == b"\r\n\r\n"));
        let is_stream = head_end.is_some_and(|end| {
            let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
            head.contains("transfer-encoding: chunked")
        });
        if is_stream || read.len() > MAX_ANSWER {
            break;
        }
    }
    let Some(end) = head_end else {
        panic!(
            "the connection ended without an answer: {:?}\n{request}",
            String::from_utf8_lossy(&read)
        );
    };
    let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("not an answer: {head}\n{request}")),
        body: read.get(end + 4..).unwrap_or_default().to_vec(),
        head,
    }
}
