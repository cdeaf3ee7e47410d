//! The address that a request comes from.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::HttpRequest;
use actix_web::dev::RequestHead;
use actix_web::http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::request::app_data;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks of the proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    fn include(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client: the peer's, or the last forwarded one that is not a trusted proxy's.
    /// Everybody can send the header, so it is not read from anybody else.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.include(client) {
            return client;
        }
        let forwarded = headers.get_all(FORWARDED_FOR);
        let forwarded: Vec<&str> = forwarded
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for address in forwarded.into_iter().rev() {
            let Ok(address) = address.trim().parse::<IpAddr>() else {
                break;
            };
            client = address.to_canonical();
            if !self.include(client) {
                break;
            }
        }
        client
    }

    /// The client's address, as far as rates are concerned: everybody with an IPv6 address has a whole
    /// network of them.
    pub(crate) fn key(&self, head: &RequestHead) -> IpAddr {
        const NETWORK: u128 = u128::MAX << 64;
        let peer = head.peer_addr.map(|address| address.ip());
        let peer = peer.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        match self.client(peer, head.headers()) {
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) & NETWORK).into()),
            address => address,
        }
    }
}

/// The address of the client for limits: that of the connection, or the one that a trusted proxy
/// forwards; of IPv6 addresses only the network.
pub fn client_address(request: &HttpRequest) -> IpAddr {
    app_data::<TrustedProxies>(request).key(request.head())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str]) -> String {
        let proxies = ["10.0.0.0/8", "fd00::/8"];
        let proxies = proxies.map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let peer = peer.parse().unwrap();
        TrustedProxies(proxies.to_vec())
            .client(peer, &headers)
            .to_string()
    }

    #[test]
    fn only_trusted_proxies_forward_addresses() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn the_last_address_that_is_not_a_proxy_counts() {
        // Whatever a client sends itself comes first.
        let chain = "203.0.113.9, 198.51.100.7, 10.0.0.2";
        assert_eq!(client("10.0.0.1", &[chain]), "198.51.100.7");
        assert_eq!(
            client("10.0.0.1", &["198.51.100.7", "10.0.0.2"]),
            "198.51.100.7"
        );
        assert_eq!(client("10.0.0.1", &["198.51.100.7, unknown"]), "10.0.0.1");
        assert_eq!(client("fd00::1", &["2001:db8::7"]), "2001:db8::7");
    }
}
