//! A TCP proxy between the coordinator and its clients, which can be partitioned.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Open,
    /// Nothing is passed on in either direction, and connections stay open.
    Silent,
    /// Connections are closed, and new ones are closed at once.
    Cut,
}

/// The proxy. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    link: watch::Sender<Link>,
    _serving: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy for a port of this machine.
    pub(crate) async fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (link, state) = watch::channel(Link::Open);
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, target, state));
        Ok(Self {
            address,
            link,
            _serving: serving,
        })
    }

    /// The URL of the proxy.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what happens to all connections.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

async fn serve(listener: TcpListener, target: u16, link: watch::Receiver<Link>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(pass(client, target, link.clone()));
                }
            }
            // Frees the memory of connections that have ended.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes bytes on while the link is open, until one side closes the connection or the link is cut.
async fn pass(mut client: TcpStream, target: u16, mut link: watch::Receiver<Link>) {
    let opened = link.wait_for(|link| *link != Link::Silent).await;
    if !opened.is_ok_and(|link| *link == Link::Open) {
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    loop {
        let passed = async {
            let copied = copy_bidirectional(&mut client, &mut server).await;
            copied.is_ok()
        };
        let closed = async { link.wait_for(|link| *link != Link::Open).await.is_err() };
        tokio::select! {
            _ = passed => return,
            is_closed = closed => if is_closed { return },
        }
        let opened = link.wait_for(|link| *link != Link::Silent).await;
        if !opened.is_ok_and(|link| *link == Link::Open) {
            return;
        }
    }
}
