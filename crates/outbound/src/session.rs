//! Access to the local proxy for one program or client, for as long as it runs.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::error::OutboundError;

/// Access to the local proxy. Dropping it closes its connections.
///
/// The proxy's URL contains a password, so it belongs into an environment variable or a client's
/// configuration, never into arguments or logs.
pub struct Session {
    id: u64,
    proxy: Arc<LocalProxy>,
    shared: Arc<Shared>,
    sessions: Arc<Sessions>,
}

/// The local proxy. It stops when nobody is left who may use it.
pub(crate) struct LocalProxy {
    pub(crate) address: SocketAddr,
    pub(crate) task: AbortHandle,
}

impl Drop for LocalProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a session shares with its connections.
pub(crate) struct Shared {
    password: String,
    pub(crate) trusted: Option<(String, u16)>,
    failure: Mutex<Option<OutboundError>>,
    pub(crate) closed: CancellationToken,
}

impl Shared {
    /// Keeps the first failure: later ones usually follow from it.
    pub(crate) fn failed(&self, error: OutboundError) {
        self.failure.lock().get_or_insert(error);
    }
}

/// The open sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Shared>>>,
}

impl Sessions {
    /// The session with this name and password.
    pub(crate) fn find(&self, name: &[u8], password: &[u8]) -> Option<Arc<Shared>> {
        let id = std::str::from_utf8(name).ok()?.parse().ok()?;
        let shared = self.open.lock().get(&id).cloned()?;
        let is_right: bool = shared.password.as_bytes().ct_eq(password).into();
        is_right.then_some(shared)
    }
}

impl Session {
    pub(crate) fn open(
        sessions: &Arc<Sessions>,
        proxy: Arc<LocalProxy>,
        trusted: Option<(String, u16)>,
    ) -> Self {
        let id = sessions.next.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared {
            // Other users of this host can reach the port, so the password must not be guessable.
            password: hex::encode(rand::random::<[u8; 24]>()),
            trusted,
            failure: Mutex::default(),
            closed: CancellationToken::new(),
        });
        sessions.open.lock().insert(id, Arc::clone(&shared));
        Self {
            id,
            proxy,
            shared,
            sessions: Arc::clone(sessions),
        }
    }

    /// The URL of the proxy, with its password. The proxy resolves names itself.
    pub fn proxy_url(&self) -> String {
        let (id, password) = (self.id, &self.shared.password);
        format!("socks5h://{id}:{password}@{}", self.proxy.address)
    }

    /// A builder of HTTP clients that connect through this session only. Redirects may lead anywhere
    /// that the policy allows.
    ///
    /// # Errors
    /// If the client library does not support the proxy.
    pub fn http(&self) -> reqwest::Result<reqwest::ClientBuilder> {
        let proxy = reqwest::Proxy::all(self.proxy_url())?;
        // An explicit proxy also disables those in the environment.
        Ok(reqwest::Client::builder().proxy(proxy))
    }

    /// The first connection that was not made, and why.
    pub fn failure(&self) -> Option<OutboundError> {
        self.shared.failure.lock().clone()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.open.lock().remove(&self.id);
        self.shared.closed.cancel();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.id)
    }
}
