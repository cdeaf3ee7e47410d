//! A body that nobody has read yet, and the ways to read it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready as ready_or_return};

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;

use crate::body::guard::{BodyFailure, BodyRules, BodyState};
use crate::body::memory::MemoryShare;
use crate::body::{BodyError, KnownSender, check_json_values};
use crate::request::app_data;

/// How much of a body is read before its sender is known, in bytes, unless a route allows more.
pub const UNKNOWN_SENDER_BYTES: usize = 64 << 10;
/// How much of the body of an unknown sender is read at once, in bytes: nearly all that have a token inside
/// are shorter.
const FIRST_BYTES: usize = 8 << 10;
/// How much of the body of a known sender is read at once, in bytes.
const LARGE_BYTES: usize = 64 << 10;
/// How much of a stream is in memory at once while it is stored, in bytes.
const STREAM_BYTES: usize = 2 << 20;
/// Bodies that are larger are parsed on another thread, in bytes.
const LARGE_JSON_BYTES: usize = 1 << 20;

/// The body of a request, of which a handler has read nothing yet.
pub struct UnreadBody {
    payload: Payload,
    declared: Option<usize>,
    /// What was read to find out who the sender is.
    start: Vec<u8>,
    is_complete: bool,
    share: MemoryShare,
    rules: BodyRules,
    state: Option<BodyState>,
}

impl FromRequest for UnreadBody {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let declared = request.headers().get(CONTENT_LENGTH);
        let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok());
        let rules: &BodyRules = app_data(request);
        let state = request.extensions().get::<BodyState>().cloned();
        if let Some(state) = &state {
            state.open();
        }
        ready(Ok(Self {
            payload: payload.take(),
            declared,
            start: Vec::new(),
            is_complete: false,
            share: rules.memory.share(),
            rules: rules.clone(),
            state,
        }))
    }
}

impl UnreadBody {
    /// Reads the whole body of a known sender, up to `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn read<S: KnownSender>(
        mut self,
        _sender: &S,
        limit: usize,
    ) -> Result<Body, BodyError> {
        self.becomes_known();
        let sender = if S::IS_RUNNER {
            Sender::Runner
        } else {
            Sender::Known
        };
        let result = self.fill(limit, sender).await;
        self.noted(result)?;
        Ok(self.into_body())
    }

    /// Reads a small body whose sender is not known before it is read, because it has no token or has
    /// it inside.
    ///
    /// # Errors
    /// [`BodyError`]; [`BodyError::UnknownSender`] if it is larger than `limit` bytes.
    pub async fn read_unknown(mut self, limit: usize) -> Result<Body, BodyError> {
        self.fill_unknown(limit).await?;
        if !self.is_complete {
            return Err(BodyError::UnknownSender { limit });
        }
        Ok(self.into_body())
    }

    /// Reads the first [`UNKNOWN_SENDER_BYTES`] of a body that has the token inside, or all of it if it
    /// is smaller. [`UnreadBody::read`] then returns these bytes too.
    ///
    /// # Errors
    /// [`BodyError`], but no error if the body is larger.
    pub async fn read_start(&mut self) -> Result<&[u8], BodyError> {
        // A body that is declared to be larger is read all the same: the token may be at its start.
        let declared = self.declared.take();
        let filled = self.fill_unknown(UNKNOWN_SENDER_BYTES).await;
        self.declared = declared;
        filled?;
        Ok(&self.start)
    }

    /// The body of a known sender as a stream, for uploads, which are stored and not kept in memory.
    pub fn stream(self, sender: &impl KnownSender) -> BodyStream {
        let stream = self.stream_unknown(u64::MAX);
        stream.allow(sender, u64::MAX);
        stream
    }

    /// The body as a stream that ends with an error after `limit` bytes, until
    /// [`BodyStream::allow`] says that the sender is known. For forms that have the token inside.
    pub fn stream_unknown(self, limit: u64) -> BodyStream {
        BodyStream(Rc::new(RefCell::new(Streamed {
            body: self,
            limit,
            is_known: false,
            read: 0,
            counted: 0,
        })))
    }

    fn becomes_known(&mut self) {
        self.share.becomes_known();
        if let Some(state) = &self.state {
            state.becomes_known();
        }
    }

    async fn fill_unknown(&mut self, limit: usize) -> Result<(), BodyError> {
        // However slowly it arrives: a small body needs no more time than its first bytes.
        let progress = self.rules.progress;
        let filling = self.fill(limit, Sender::Unknown);
        let result = match tokio::time::timeout(progress, filling).await {
            Ok(result) => result,
            Err(_) => Err(BodyError::TimedOut),
        };
        self.noted(result)
    }

    /// Reads until the body ends, or more than `limit` bytes have arrived.
    async fn fill(&mut self, limit: usize, sender: Sender) -> Result<(), BodyError> {
        let too_large = match sender {
            Sender::Known | Sender::Runner => BodyError::TooLarge { limit },
            Sender::Unknown => BodyError::UnknownSender { limit },
        };
        if self.declared.is_some_and(|length| length > limit) || self.start.len() > limit {
            return Err(too_large);
        }
        while !self.is_complete && (self.start.len() <= limit) {
            let Some(piece) = self.payload.next().await else {
                self.is_complete = true;
                break;
            };
            let piece = piece?;
            match sender {
                Sender::Known | Sender::Runner => self.share.grow(piece.len())?,
                Sender::Unknown => self.share.grow_unknown(piece.len())?,
            }
            self.start.extend_from_slice(&piece);
            self.wait_for_turn(sender, piece.len() as u64).await;
        }
        // More than the limit is no error where only the start is wanted.
        match sender {
            Sender::Known | Sender::Runner if self.start.len() > limit => Err(too_large),
            _ => Ok(()),
        }
    }

    /// Waits, before more is read, until those who sent large bodies before have had their turns.
    async fn wait_for_turn(&self, sender: Sender, bytes: u64) {
        let pace = match sender {
            Sender::Runner => return,
            Sender::Known if self.start.len() > LARGE_BYTES => &self.rules.large,
            Sender::Unknown if self.start.len() > FIRST_BYTES => &self.rules.unknown,
            Sender::Known | Sender::Unknown => return,
        };
        pace.wait_for_turn(bytes).await;
    }

    /// Makes the response one about a failure that is the same on every route.
    fn noted<T>(&self, result: Result<T, BodyError>) -> Result<T, BodyError> {
        let failure = match &result {
            Err(BodyError::TimedOut) => Some(BodyFailure::TimedOut),
            Err(BodyError::NoMemory) => Some(BodyFailure::NoMemory),
            _ => None,
        };
        if let (Some(failure), Some(state)) = (failure, &self.state) {
            state.fail(failure);
        }
        result
    }

    fn into_body(self) -> Body {
        Body {
            bytes: self.start.into(),
            share: self.share,
            state: self.state,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Known,
    Runner,
    Unknown,
}

/// A body in memory. Its memory is counted until it is dropped.
pub struct Body {
    bytes: Bytes,
    share: MemoryShare,
    state: Option<BodyState>,
}

impl Body {
    /// The bytes, which share the memory of this body.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Parses JSON, which has at most [`crate::MAX_JSON_VALUES`] values.
    ///
    /// # Errors
    /// [`BodyError::TooManyValues`]; [`BodyError::NoMemory`] if there is no memory for the values. The
    /// inner error if the text is not JSON, or not that of a `T`.
    pub async fn json<T: DeserializeOwned + Send + 'static>(
        &mut self,
    ) -> Result<Result<T, serde_json::Error>, BodyError> {
        // The values are kept besides the text, and the longest ones are as long as it.
        if let Err(error) = self.share.grow(self.bytes.len()) {
            if let Some(state) = &self.state {
                state.fail(BodyFailure::NoMemory);
            }
            return Err(error);
        }
        let bytes = self.bytes();
        let parse = move || {
            check_json_values(&bytes)?;
            Ok(serde_json::from_slice(&bytes))
        };
        if self.bytes.len() <= LARGE_JSON_BYTES {
            return parse();
        }
        // A large text takes long enough to delay the other requests of this thread.
        let parsed = tokio::task::spawn_blocking(parse).await;
        parsed.unwrap_or(Err(BodyError::NoMemory))
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body as a stream. Clones read from the same one, so that a part of it can be read after another
/// reader has failed.
#[derive(Clone)]
pub struct BodyStream(Rc<RefCell<Streamed>>);

struct Streamed {
    body: UnreadBody,
    limit: u64,
    is_known: bool,
    read: u64,
    /// How many of the read bytes are counted as memory.
    counted: usize,
}

impl BodyStream {
    /// Says who the sender is, and allows `limit` bytes of the body in all.
    pub fn allow(&self, _sender: &impl KnownSender, limit: u64) {
        let mut streamed = self.0.borrow_mut();
        streamed.limit = limit;
        streamed.is_known = true;
        streamed.body.becomes_known();
    }

    /// Reads and discards up to `limit` bytes of a known sender's body, so that a client that is still
    /// sending reads the response. The body of an unknown sender is not read.
    pub async fn discard(&mut self, limit: u64) {
        {
            let mut streamed = self.0.borrow_mut();
            if !streamed.is_known {
                return;
            }
            // The body may have been refused because it is longer than the limit.
            streamed.limit = u64::MAX;
        }
        let mut discarded = 0;
        while discarded < limit
            && let Some(Ok(bytes)) = self.next().await
        {
            discarded += bytes.len() as u64;
        }
    }
}

impl Stream for BodyStream {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let streamed = &mut *self.0.borrow_mut();
        let body = &mut streamed.body;
        let bytes = match ready_or_return!(Pin::new(&mut body.payload).poll_next(cx)) {
            None => return Poll::Ready(None),
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => {
                let result = body.noted(Err(error.into()));
                return Poll::Ready(Some(result));
            }
        };
        streamed.read = streamed.read.saturating_add(bytes.len() as u64);
        if streamed.read > streamed.limit {
            let limit = usize::try_from(streamed.limit).unwrap_or(usize::MAX);
            return Poll::Ready(Some(Err(if streamed.is_known {
                BodyError::TooLarge { limit }
            } else {
                BodyError::UnknownSender { limit }
            })));
        }
        // What was stored is no longer in memory, so only the first bytes count.
        let more = bytes.len().min(STREAM_BYTES - streamed.counted);
        streamed.counted += more;
        let grown = if streamed.is_known {
            body.share.grow(more)
        } else {
            body.share.grow_unknown(more)
        };
        Poll::Ready(Some(body.noted(grown).map(|()| bytes)))
    }
}
