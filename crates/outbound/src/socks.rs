//! The local proxy: SOCKS 5 (RFC 1928) with name and password (RFC 1929), CONNECT only.
//!
//! Its clients are our own child processes and libraries. They send names, not addresses, so that
//! each name is resolved here, once.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::error::OutboundError;
use crate::outbound::Connector;
use crate::session::{Sessions, Shared};

const VERSION: u8 = 5;
const AUTH_VERSION: u8 = 1;
/// The method "name and password".
const PASSWORD: u8 = 2;
/// No method is acceptable.
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Replies of the protocol.
const SUCCEEDED: u8 = 0;
const NOT_ALLOWED: u8 = 2;
const HOST_UNREACHABLE: u8 = 4;
const REFUSED: u8 = 5;
const BAD_COMMAND: u8 = 7;
const BAD_ADDRESS: u8 = 8;

/// How long a client may take until it has named the server.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a failed accept, such as without a free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves clients until it is aborted.
pub(crate) async fn serve(
    listener: TcpListener,
    connector: Arc<Connector>,
    sessions: Arc<Sessions>,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "The outbound proxy could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (connector, sessions) = (Arc::clone(&connector), Arc::clone(&sessions));
        slipway_tasks::spawn("outbound connection", async move {
            if let Err(error) = serve_one(stream, &connector, &sessions).await {
                tracing::debug!(%error, "A connection through the outbound proxy ended");
            }
        });
    }
}

async fn serve_one(
    mut client: TcpStream,
    connector: &Connector,
    sessions: &Sessions,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let handshake = timeout(HANDSHAKE_TIMEOUT, handshake(&mut client, sessions));
    let Some((session, host, port)) = handshake.await?? else {
        return Ok(());
    };
    let transfer = async {
        let connected = connector
            .connect(&host, port, session.trusted.as_ref())
            .await;
        let mut server = match connected {
            Ok(server) => server,
            Err(error) => {
                let reply = reply_to(&error);
                session.failed(error);
                return write_reply(&mut client, reply).await;
            }
        };
        server.set_nodelay(true)?;
        write_reply(&mut client, SUCCEEDED).await?;
        copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    };
    tokio::select! {
        // A server that never closes its connection must not keep it open after the session.
        () = session.closed.cancelled() => Ok(()),
        transferred = transfer => transferred,
    }
}

/// The session, host and port of a client. `None` if the client was refused.
async fn handshake(
    client: &mut TcpStream,
    sessions: &Sessions,
) -> io::Result<Option<(Arc<Shared>, String, u16)>> {
    expect(client, VERSION).await?;
    let methods = read_field(client).await?;
    if !methods.contains(&PASSWORD) {
        client.write_all(&[VERSION, NO_METHOD]).await?;
        return Ok(None);
    }
    client.write_all(&[VERSION, PASSWORD]).await?;
    expect(client, AUTH_VERSION).await?;
    let (name, password) = (read_field(client).await?, read_field(client).await?);
    let Some(session) = sessions.find(&name, &password) else {
        client.write_all(&[AUTH_VERSION, 1]).await?;
        return Ok(None);
    };
    client.write_all(&[AUTH_VERSION, 0]).await?;
    expect(client, VERSION).await?;
    let command = client.read_u8().await?;
    expect(client, 0).await?;
    let host = match client.read_u8().await? {
        IPV4 => Ipv4Addr::from(client.read_u32().await?).to_string(),
        IPV6 => Ipv6Addr::from(client.read_u128().await?).to_string(),
        NAME => match String::from_utf8(read_field(client).await?) {
            Ok(name) => name,
            Err(_) => return refuse(client, BAD_ADDRESS).await,
        },
        _ => return refuse(client, BAD_ADDRESS).await,
    };
    let port = client.read_u16().await?;
    if command != CONNECT {
        return refuse(client, BAD_COMMAND).await;
    }
    Ok(Some((session, host, port)))
}

async fn refuse<T>(client: &mut TcpStream, reply: u8) -> io::Result<Option<T>> {
    write_reply(client, reply).await?;
    Ok(None)
}

async fn write_reply(client: &mut TcpStream, reply: u8) -> io::Result<()> {
    // The address that the proxy connects from is left out: 0.0.0.0, port 0.
    let reply = [VERSION, reply, 0, IPV4, 0, 0, 0, 0, 0, 0];
    client.write_all(&reply).await
}

/// Reads a byte that has only one valid value.
async fn expect(client: &mut TcpStream, expected: u8) -> io::Result<()> {
    if client.read_u8().await? == expected {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::InvalidData))
    }
}

/// Reads a field of at most 255 bytes, after its length.
async fn read_field(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = client.read_u8().await?;
    let mut field = vec![0; length.into()];
    client.read_exact(&mut field).await?;
    Ok(field)
}

fn reply_to(error: &OutboundError) -> u8 {
    match error {
        OutboundError::Refused { .. } => NOT_ALLOWED,
        OutboundError::Unresolved { .. } => HOST_UNREACHABLE,
        OutboundError::Unreachable { .. } | OutboundError::Proxy { .. } => REFUSED,
    }
}
