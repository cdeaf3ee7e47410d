//! The readers, in their own process: HTTP clients that compare every byte with the trace.
//!
//! They use little processor time: one thread, and an event that several readers get is parsed once and
//! compared byte for byte for the others.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::rc::Rc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::{Trace, cpu_seconds};

/// The argument that makes this program the readers' process.
pub(crate) const READ: &str = "read";
/// Buffer size of a reader's socket.
const BUFFER: usize = 256 << 10;

/// The result of the readers' process.
pub(crate) struct ReadResult {
    /// Readers that got the exact trace.
    pub(crate) whole: usize,
    /// Times that a reader was disconnected and resumed.
    pub(crate) disconnects: u64,
}

/// A handle to the readers' process.
pub(crate) struct Readers {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Readers {
    /// Starts the readers, and waits until each of them follows the trace.
    pub(crate) fn start(address: &str, target: &str, readers: usize, pieces: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let numbers = [readers, pieces].map(|number| number.to_string());
        command.args([READ, address, target]).args(numbers);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut readers = Self { child, lines };
        assert_eq!(readers.line(), "ready");
        readers
    }

    /// Processor time of the readers, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.child.id())
    }

    /// Waits until every reader has finished.
    pub(crate) fn finish(mut self) -> ReadResult {
        let line = self.line();
        let (whole, disconnects) = line.split_once(' ').unwrap();
        assert!(self.child.wait().unwrap().success());
        ReadResult {
            whole: whole.parse().unwrap(),
            disconnects: disconnects.parse().unwrap(),
        }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

/// The main function of the readers' process.
pub(crate) fn read(arguments: &[String]) {
    let [address, target, readers, pieces] = arguments else {
        panic!("read ADDRESS TARGET READERS PIECES")
    };
    let readers: usize = readers.parse().unwrap();
    let shared = Rc::new(Shared {
        address: address.clone(),
        target: target.clone(),
        trace: Trace::of(pieces.parse().unwrap()),
        known: RefCell::default(),
        waited_for: RefCell::new(readers),
        disconnects: RefCell::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = LocalSet::new();
    let following: Vec<_> = (0..readers)
        .map(|_| local.spawn_local(Reader::new(&shared).follow()))
        .collect();
    let whole = local.block_on(&runtime, async {
        let mut whole = 0;
        for reader in following {
            whole += usize::from(reader.await.unwrap() == shared.trace.length());
        }
        whole
    });
    println!("{whole} {}", shared.disconnects.borrow());
}

/// State that the readers share.
struct Shared {
    address: String,
    target: String,
    trace: Trace,
    /// Parsed events by their start offset, with their end offset.
    known: RefCell<HashMap<u64, (Vec<u8>, u64)>>,
    /// Readers that do not follow the trace yet.
    waited_for: RefCell<usize>,
    disconnects: RefCell<u64>,
}

struct Reader {
    shared: Rc<Shared>,
    /// Length of the received trace, of which every byte was correct.
    length: u64,
}

impl Reader {
    fn new(shared: &Rc<Shared>) -> Self {
        Self {
            shared: Rc::clone(shared),
            length: 0,
        }
    }

    /// Follows until the end; returns the received length.
    async fn follow(mut self) -> u64 {
        let mut is_first = true;
        while !self.read(is_first).await {
            is_first = false;
            *self.shared.disconnects.borrow_mut() += 1;
        }
        self.length
    }

    /// Reads until the stream ends; returns whether the log has ended too.
    async fn read(&mut self, is_first: bool) -> bool {
        let mut socket = TcpStream::connect(&self.shared.address).await.unwrap();
        let head = format!(
            "GET {} HTTP/1.0\r\nHost: {}\r\nLast-Event-ID: {}\r\n\r\n",
            self.shared.target, self.shared.address, self.length
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut text = Vec::with_capacity(BUFFER);
        let mut is_done = false;
        loop {
            let mut taken = 0;
            while let Some(size) = self.event_size(&text[taken..]) {
                let event = &text[taken..taken + size];
                is_done |= self.take(event);
                taken += size;
                if is_first && self.length == 0 && contains(event, b"event: history") {
                    self.is_ready();
                }
            }
            text.drain(..taken);
            if socket.read_buf(&mut text).await.unwrap() == 0 {
                return is_done;
            }
        }
    }

    fn is_ready(&self) {
        let mut waited_for = self.shared.waited_for.borrow_mut();
        *waited_for -= 1;
        if *waited_for == 0 {
            println!("ready");
        }
    }

    /// How long the event is that `text` begins with; `None` when the rest of it has yet to come.
    fn event_size(&self, text: &[u8]) -> Option<usize> {
        let known = self.shared.known.borrow();
        if let Some((event, _)) = known.get(&self.length) {
            if text.starts_with(event) {
                return Some(event.len());
            }
            if event.starts_with(text) {
                return None;
            }
        }
        let end = text.windows(2).position(|pair| pair == b"\n\n")?;
        Some(end + 2)
    }

    /// Takes one event; `true` when it is the last of the log.
    fn take(&mut self, event: &[u8]) -> bool {
        let known = self.shared.known.borrow();
        if let Some((known, end)) = known.get(&self.length)
            && known == event
        {
            self.length = *end;
            return false;
        }
        drop(known);
        let start = self.length;
        let text = std::str::from_utf8(event).unwrap();
        let Some(at) = text.find("data: ") else {
            return false;
        };
        let data: Value = serde_json::from_str(text[at + 6..].trim_end()).unwrap();
        let history = data["chunks"].as_array().cloned();
        for chunk in history.unwrap_or_else(|| vec![data]) {
            if let Some(content) = chunk["content"].as_str() {
                self.shared.trace.compare(self.length, content.as_bytes());
                self.length += content.len() as u64;
                assert_eq!(chunk["seq"], self.length);
            }
        }
        if self.length > start {
            let mut known = self.shared.known.borrow_mut();
            known.insert(start, (event.to_vec(), self.length));
        }
        text.contains("event: done")
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
