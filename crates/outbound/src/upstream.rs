//! The operator's own proxy, through which connections leave this network.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use crate::error::StartError;
use crate::policy::{literal, normal};

/// The variables that name a proxy, the first one that is set counts. `HTTP_PROXY` in upper case is
/// read as well: this program is not started by a web server, which could set it from a header.
const VARIABLES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// How long the proxy may take to connect.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum length of the proxy's answer, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// The operator's HTTP proxy. Connections go through it with the method `CONNECT`.
#[derive(Clone, Debug)]
pub struct UpstreamProxy {
    host: String,
    port: u16,
    /// The value of `Proxy-Authorization`.
    login: Option<String>,
    exceptions: Exceptions,
}

/// The hosts to which connections are made directly.
#[derive(Clone, Debug)]
enum Exceptions {
    All,
    /// Names with all names below them, and networks.
    Some {
        names: Vec<String>,
        networks: Vec<IpNet>,
    },
}

impl UpstreamProxy {
    /// The proxy of the environment, if there is one.
    pub(crate) fn from_environment() -> Result<Option<Self>, StartError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let no_proxy = variable("NO_PROXY").or_else(|| variable("no_proxy"));
        let no_proxy = no_proxy.unwrap_or_default();
        for name in VARIABLES {
            if let Some(url) = variable(name) {
                let proxy = Self::parse(&url, &no_proxy);
                return proxy.map(Some).ok_or(StartError::Proxy { variable: name });
            }
        }
        Ok(None)
    }

    /// The proxy at `url`, such as `http://user:password@proxy.internal:3128`. `no_proxy` lists hosts
    /// and networks that are connected to directly, separated by commas. `None` if the URL is not
    /// supported.
    pub fn parse(url: &str, no_proxy: &str) -> Option<Self> {
        let with_scheme = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let url = Url::parse(&with_scheme).ok()?;
        if url.scheme() != "http" {
            return None;
        }
        let decode = |text| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
        let login = (!url.username().is_empty()).then(|| {
            let password = url.password().unwrap_or_default();
            let plain = [decode(url.username()), b":".to_vec(), decode(password)].concat();
            format!("Basic {}", STANDARD.encode(plain))
        });
        Some(Self {
            host: url.host_str().filter(|host| !host.is_empty())?.to_owned(),
            port: url.port_or_known_default()?,
            login,
            exceptions: exceptions(no_proxy),
        })
    }

    /// Whether connections to this server go through the proxy.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let Exceptions::Some { names, networks } = &self.exceptions else {
            return false;
        };
        if let Some(address) = literal(host) {
            return !networks.iter().any(|network| network.contains(&address));
        }
        let host = normal(host);
        !names.iter().any(|name| {
            let below = host.strip_suffix(name.as_str());
            below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// Connects to a server through the proxy.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        timeout(TIMEOUT, self.tunnel(host, port)).await?
    }

    async fn tunnel(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let proxy = self.host.trim_start_matches('[').trim_end_matches(']');
        let mut stream = TcpStream::connect((proxy, self.port)).await?;
        let server = match literal(host) {
            Some(std::net::IpAddr::V6(address)) => format!("[{address}]:{port}"),
            Some(std::net::IpAddr::V4(_)) => format!("{host}:{port}"),
            // A name with other characters could add lines to the request.
            None if host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) =>
            {
                format!("{host}:{port}")
            }
            None => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let login = self
            .login
            .as_ref()
            .map(|login| format!("Proxy-Authorization: {login}\r\n"));
        let login = login.unwrap_or_default();
        let request = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n{login}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // Byte by byte: what follows the answer belongs to the server.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == MAX_ANSWER {
                return Err(io::ErrorKind::InvalidData.into());
            }
            answer.push(stream.read_u8().await?);
        }
        let status = answer.split(|byte| *byte == b' ').nth(1);
        if status.is_some_and(|status| status.starts_with(b"2")) {
            Ok(stream)
        } else {
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }
}

fn exceptions(no_proxy: &str) -> Exceptions {
    let entries = no_proxy
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    let (mut names, mut networks) = (Vec::new(), Vec::new());
    for entry in entries {
        if entry == "*" {
            return Exceptions::All;
        }
        match (entry.parse(), literal(entry)) {
            (Ok(network), _) => networks.push(network),
            (Err(_), Some(address)) => networks.push(address.into()),
            (Err(_), None) => {
                names.push(normal(
                    entry.trim_start_matches('*').trim_start_matches('.'),
                ));
            }
        }
    }
    Exceptions::Some { names, networks }
}
