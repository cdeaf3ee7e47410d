//! What the checks share: a farm with a runner, jobs whose traces grow, and a reader of streams.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use slipway_coordinator::Config;
use slipway_domain::JobUuid;
use slipway_farm::{Build, ProjectAccess};
use slipway_testkit::{Backend, TestFarm};
use tokio::time::timeout;

pub(crate) use crate::client::{ApiResponse, Claim};
use crate::client::{Runner, RunnerApi};

/// How long anything may take that the contract does not measure.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// What the contract gives an end.
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// A key of log tokens, as the file has it.
pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A farm with a project and a runner.
pub(crate) struct Yard {
    pub(crate) farm: TestFarm,
    pub(crate) project: ProjectAccess,
    runner: Runner,
}

/// A job that runs, with what was said in it.
pub(crate) struct Work {
    pub(crate) build: Build,
    pub(crate) claim: Claim,
    pub(crate) said: Vec<u8>,
    token: String,
}

impl Yard {
    pub(crate) async fn new(backend: Backend) -> Self {
        Self::with(backend, |_| {}).await
    }

    /// The same with a configuration that `adjust` has changed.
    pub(crate) async fn with(backend: Backend, adjust: impl FnOnce(&mut Config)) -> Self {
        let farm = TestFarm::start_with(backend, adjust).await;
        let project = farm.project("acme/web").await;
        let runner = RunnerApi::new(&farm).register_runner(&farm).await;
        Self {
            farm,
            project,
            runner,
        }
    }

    /// A job that a runner has begun, with a token for its log.
    pub(crate) async fn work(&self) -> Work {
        let build = self.farm.build(&self.project).await;
        let claim = self.runner.claim().await;
        let token = self.token(&build).await;
        Work {
            build,
            claim,
            said: Vec::new(),
            token,
        }
    }

    /// A log token of a build.
    pub(crate) async fn token(&self, build: &Build) -> String {
        let token = self.farm.farm().log_token(build).await.unwrap();
        token.expose().to_owned()
    }

    /// Asks for the log of a job.
    pub(crate) fn ask(&self, job: impl std::fmt::Display, token: &str) -> RequestBuilder {
        let path = format!("/v0/jobs/{job}/logs");
        let request = self.farm.http.get(self.farm.url(&path));
        request.query(&[("token", token)])
    }

    /// Asks for the log of a job that somebody works on.
    pub(crate) fn ask_for(&self, work: &Work) -> RequestBuilder {
        self.ask(work.name(), &work.token)
    }

    /// Follows a job from its beginning.
    pub(crate) async fn follow(&self, work: &Work) -> Reader {
        Reader::of(self.ask_for(work)).await
    }

    /// Sends a request and reads the answer whole.
    pub(crate) async fn send(request: RequestBuilder) -> ApiResponse {
        let answer = timeout(LIMIT, ApiResponse::to(request)).await;
        answer.expect("an end")
    }

    /// Asks the native API, as the administrator.
    pub(crate) async fn native(&self, method: Method, path: &str) -> ApiResponse {
        let request = self.farm.http.request(method, self.farm.url(path));
        Self::send(request.header("PRIVATE-TOKEN", &self.farm.admin_token)).await
    }
}

impl Work {
    /// What clients call the job.
    pub(crate) fn name(&self) -> JobUuid {
        JobUuid::of(self.build.uuid, self.claim.id)
    }

    /// The token that opens its log.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The same job, for those who only follow it.
    pub(crate) fn copy(&self) -> Self {
        Self {
            build: self.build.clone(),
            claim: self.claim.clone(),
            said: self.said.clone(),
            token: self.token.clone(),
        }
    }

    /// Appends to the trace.
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = Bytes::copy_from_slice(bytes.as_ref());
        let range = self.range(&bytes);
        self.said.extend_from_slice(&bytes);
        self.claim.patch(&range, bytes).await.is(202);
    }

    /// Where bytes belong that are appended now.
    pub(crate) fn range(&self, bytes: &[u8]) -> String {
        let start = self.said.len();
        format!("{start}-{}", start + bytes.len() - 1)
    }

    /// Ends the job well.
    pub(crate) async fn succeed(&self) {
        self.claim.succeed().await;
    }
}

/// A frame of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    History(Vec<Value>),
    Chunk(u64, Value),
    Comment(String),
    Done,
}

/// A stream as it comes.
pub(crate) struct Reader {
    answer: Response,
    text: Vec<u8>,
    looked_at: usize,
    /// All bytes that came.
    pub(crate) raw: Vec<u8>,
}

impl Reader {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let answer = timeout(LIMIT, request.send()).await.expect("an answer");
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/event-stream; charset=utf-8");
        assert_eq!(header("cache-control"), "no-cache");
        Self {
            answer,
            text: Vec::new(),
            looked_at: 0,
            raw: Vec::new(),
        }
    }

    /// The next frame; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        self.next_within(LIMIT).await
    }

    pub(crate) async fn next_within(&mut self, limit: Duration) -> Option<Frame> {
        loop {
            // A history may be long, so each byte is looked at once.
            let new = self.text.get(self.looked_at..).unwrap_or_default();
            if let Some(end) = new.windows(2).position(|pair| pair == b"\n\n") {
                let end = self.looked_at + end + 2;
                self.looked_at = 0;
                let block: Vec<u8> = self.text.drain(..end).collect();
                return Some(read(std::str::from_utf8(&block).unwrap()));
            }
            self.looked_at = self.text.len().saturating_sub(1);
            let piece = timeout(limit, self.answer.chunk()).await;
            let Some(piece) = piece.expect("a frame in time").unwrap() else {
                assert!(self.text.is_empty(), "a frame is torn");
                return None;
            };
            self.text.extend_from_slice(&piece);
            self.raw.extend_from_slice(&piece);
        }
    }

    /// The first frame: what is stored.
    pub(crate) async fn history(&mut self) -> Vec<Value> {
        match self.next().await {
            Some(Frame::History(chunks)) => chunks,
            other => panic!("no history: {other:?}"),
        }
    }

    /// The next frame, which is a chunk.
    pub(crate) async fn chunk(&mut self) -> Value {
        match self.next().await {
            Some(Frame::Chunk(id, chunk)) => {
                assert_eq!(chunk["seq"], id);
                chunk
            }
            other => panic!("no chunk: {other:?}"),
        }
    }

    /// The end, and nothing after it.
    pub(crate) async fn done(&mut self, limit: Duration) {
        assert_eq!(self.next_within(limit).await, Some(Frame::Done));
        assert_eq!(self.next_within(limit).await, None);
    }

    /// All chunks up to the end, those of the history included; the first frame must be it.
    pub(crate) async fn rest(&mut self) -> Vec<Value> {
        let mut chunks = self.history().await;
        loop {
            match self.next().await {
                Some(Frame::Chunk(id, chunk)) => {
                    assert_eq!(chunk["seq"], id);
                    chunks.push(chunk);
                }
                Some(Frame::Comment(_)) => {}
                Some(Frame::Done) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(self.next().await, None);
        chunks
    }
}

/// Reads a frame in the exact spelling of the contract.
fn read(block: &str) -> Frame {
    let block = block.strip_suffix("\n\n").unwrap();
    if let Some(comment) = block.strip_prefix(':') {
        return Frame::Comment(comment.to_owned());
    }
    let lines: Vec<&str> = block.split('\n').collect();
    let data = |line: &str| -> Value {
        let data = line.strip_prefix("data: ").expect("data");
        serde_json::from_str(data).unwrap()
    };
    match lines[..] {
        ["event: history", line] => {
            let data = data(line);
            assert_eq!(data.as_object().unwrap().len(), 1);
            Frame::History(data["chunks"].as_array().unwrap().clone())
        }
        [id, "event: chunk", line] => {
            let id = id.strip_prefix("id: ").unwrap().parse().unwrap();
            Frame::Chunk(id, data(line))
        }
        ["event: done", line] => {
            assert_eq!(data(line), json!({}));
            Frame::Done
        }
        _ => panic!("{block:?} is no frame"),
    }
}

/// The numbers of chunks.
pub(crate) fn seqs(chunks: &[Value]) -> Vec<u64> {
    let seq = |chunk: &Value| chunk["seq"].as_u64().unwrap();
    chunks.iter().map(seq).collect()
}

/// The text of chunks, whose numbers grow and leave nothing out.
pub(crate) fn text(chunks: &[Value], from: u64) -> String {
    let mut at = from;
    let mut whole = String::new();
    for chunk in chunks {
        assert_eq!(chunk.as_object().unwrap().len(), 4, "{chunk}");
        let content = chunk["content"].as_str().unwrap();
        assert!(content.len() <= 64 << 10);
        at += content.len() as u64;
        assert_eq!(chunk["seq"], at);
        whole.push_str(content);
    }
    whole
}
