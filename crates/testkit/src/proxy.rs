//! A network between a client and a server on this host, which a test interrupts.

#![expect(
    clippy::disallowed_methods,
    reason = "the tasks end with the runtime of the test"
)]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections to a server.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
}

/// What is forwarded.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_silent: bool,
    /// Connections that were made before have another number, and are dead.
    generation: u64,
}

impl Proxy {
    /// Listens on a port of its own and forwards to `server`, a host and a port.
    pub async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (state, seen) = watch::channel(State::default());
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server.clone(), seen.clone()));
            }
        });
        Self { address, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards nothing more, and closes nothing: to both sides, packets seem to be dropped.
    pub fn drop_packets(&self) {
        self.state.send_modify(|state| state.is_silent = true);
    }

    /// Forwards again, also what was held back.
    pub fn resume(&self) {
        self.state.send_modify(|state| state.is_silent = false);
    }

    /// Forwards nothing more of the present connections, and closes none of them. New ones work.
    pub fn forget_connections(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }
}

async fn forward(client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let generation = state.borrow().generation;
    if !is_open(&mut state, generation).await {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut other = state.clone();
    let up = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_client.read(&mut piece).await {
            if !is_open(&mut state, generation).await
                || to_server.write_all(&piece[..count]).await.is_err()
            {
                break;
            }
        }
    };
    let down = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut piece).await {
            if !is_open(&mut other, generation).await
                || to_client.write_all(&piece[..count]).await.is_err()
            {
                break;
            }
        }
    };
    // Both directions end together, as those of a connection do.
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Waits until bytes may pass; `false` when the test has ended.
async fn is_open(state: &mut watch::Receiver<State>, generation: u64) -> bool {
    let passes = |state: &State| !state.is_silent && state.generation == generation;
    state.wait_for(passes).await.is_ok()
}
