//! Options that protect the coordinator from too many requests, and from bodies that are too large or
//! never arrive.

use std::time::Duration;

use ipnet::IpNet;
use slipway_farm::Rate;
use slipway_http::{Admission, AdmissionLimits, BodyMemory, BodyRules, TrustedProxies};

use crate::durations::seconds;

/// Limits of requests and their bodies.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Requests")]
pub struct Traffic {
    /// Memory for the bodies of all requests together, in bytes. Senders without a valid token get a
    /// quarter of it. Uploads count with at most 2 MiB each. Beyond it, requests are answered with 503.
    #[arg(long, env = "SLIPWAY_BODY_MEMORY_BYTES", default_value = "134217728")]
    pub body_memory_bytes: usize,
    /// Seconds in which at least 1 KiB of a body must arrive; otherwise the request is answered with 408.
    #[arg(long, env = "SLIPWAY_BODY_PROGRESS_S", default_value = "30", value_parser = seconds)]
    pub body_progress_s: Duration,
    /// Seconds for the head of a request.
    #[arg(long, env = "SLIPWAY_REQUEST_HEAD_S", default_value = "30", value_parser = seconds)]
    pub request_head_s: Duration,
    /// Requests a second with the same token; 0 is no limit. Beyond it, requests are answered with 429.
    #[arg(long, env = "SLIPWAY_TOKEN_REQUESTS_PER_S", default_value = "1000")]
    pub token_requests_per_s: u32,
    /// Requests a second from one address that may fail because they are invalid or lack rights; 0
    /// is no limit. Beyond it, requests from the address without a valid token are answered with 429.
    #[arg(long, env = "SLIPWAY_ADDRESS_FAILURES_PER_S", default_value = "100")]
    pub address_failures_per_s: u32,
    /// Database queries that wait or run. Beyond it, requests are answered with 503.
    #[arg(long, env = "SLIPWAY_MAX_QUERIES", default_value = "1000")]
    pub max_queries: usize,
    /// Networks, separated by commas, of proxies in front of the coordinator. Only from them, the header
    /// X-Forwarded-For names the address of the client.
    #[arg(long, env = "SLIPWAY_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,
}

/// For how many seconds a client may be ahead of its rate of requests.
const BURST_S: u32 = 10;
/// For how many seconds an address may be ahead of its rate of failures. Longer, because scripts with a
/// mistake, and tests, fail at once and in large numbers.
const FAILURES_BURST_S: u32 = 100;

impl Default for Traffic {
    fn default() -> Self {
        Self {
            body_memory_bytes: 128 << 20,
            body_progress_s: Duration::from_secs(30),
            request_head_s: Duration::from_secs(30),
            token_requests_per_s: 1000,
            address_failures_per_s: 100,
            max_queries: 1000,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Traffic {
    /// The rules for bodies, with memory of their own.
    pub(crate) fn body_rules(&self) -> BodyRules {
        BodyRules {
            progress: self.body_progress_s,
            memory: BodyMemory::new(self.body_memory_bytes),
            ..BodyRules::default()
        }
    }

    /// The limits of requests, of which none is counted yet.
    pub(crate) fn admission(&self) -> Admission {
        let rate = |per_second: u32, burst_s: u32| Rate {
            per_second: f64::from(per_second),
            burst: per_second.saturating_mul(burst_s),
        };
        Admission::new(AdmissionLimits {
            per_token: rate(self.token_requests_per_s, BURST_S),
            failures_per_address: rate(self.address_failures_per_s, FAILURES_BURST_S),
            max_queries: self.max_queries,
        })
    }

    /// The proxies in front of the coordinator.
    pub(crate) fn proxies(&self) -> TrustedProxies {
        TrustedProxies(self.trusted_proxies.clone())
    }
}
