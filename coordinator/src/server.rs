//! Assembles a farm and serves it.

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::{NormalizePath, TrailingSlash, from_fn};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use slipway_blobs::Blobs;
use slipway_farm::{Chance, Clock, FailPoints, Farm, Parts, open_seal_key};
use slipway_git::{Git, Limits};
use slipway_http::{admit, guard_body};
use slipway_outbound::Outbound;
use slipway_store::Store;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;

use crate::config::Config;
use crate::data_dir::DataDirLock;
use crate::request_span::in_request_span;
use crate::{build_page, data_dir, duties, first_start, health};

/// Seconds for requests to finish during shutdown.
const SHUTDOWN_S: u64 = 10;
/// Idle timeout of a connection. Our own clients close theirs earlier.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The TCP user timeout, as a multiple of the timeout of slow readers.
const USER_TIMEOUT_FACTOR: u32 = 2;

/// A running coordinator.
pub struct Coordinator {
    /// The address it listens on.
    pub address: SocketAddr,
    pub farm: Farm,
    handle: ServerHandle,
    server: JoinHandle<std::io::Result<()>>,
    /// Ends the duties when it is dropped.
    _duties: DropGuard,
    /// Keeps other coordinators away from the data directory until it is dropped.
    _lock: DataDirLock,
}

/// Starts a coordinator that uses `clock`, and that a test interrupts at `fail_points`.
///
/// # Errors
/// If the database, the blob store, the key or the address cannot be opened.
pub async fn start(
    config: &Config,
    clock: Clock,
    fail_points: FailPoints,
) -> anyhow::Result<Coordinator> {
    let lock = data_dir::open(config)?;
    let store = Store::open(&config.database())
        .await
        .context("could not open the database")?;
    let seal = open_seal_key(&store, &config.seal_key()).await?;
    let blobs = Blobs::open(&config.blobs()).await?;
    let outbound = Outbound::start(config.network.policy())?;
    let git = Git::new(Limits::default(), outbound.clone()).context("could not prepare git")?;
    let git = git.with_known_hosts(config.data_dir.join("known_hosts"));
    let parts = Parts {
        store,
        blobs,
        git,
        clock,
        chance: Chance,
        fail_points,
        seal,
        settings: config.settings(&outbound)?,
    };
    let farm = Farm::open(parts).await?;
    first_start::prepare(&farm, &config.data_dir).await?;
    let duties = duties::start(&farm);
    let data = web::Data::new(farm.clone());
    let body_rules = web::Data::new(config.traffic.body_rules());
    let admission = web::Data::new(config.traffic.admission());
    let proxies = web::Data::new(config.traffic.proxies());
    let user_timeout = config.limits.slow_reader_s * USER_TIMEOUT_FACTOR;
    let (harmont, quay) = (config.harmont.settings(), config.quay.settings());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(body_rules.clone())
            .app_data(admission.clone())
            .app_data(proxies.clone())
            // Old runners send two slashes instead of one.
            .wrap(NormalizePath::new(TrailingSlash::MergeOnly))
            .wrap(from_fn(admit))
            .wrap(from_fn(guard_body))
            .wrap(from_fn(in_request_span))
            .configure(health::configure)
            .configure(build_page::configure)
            .configure(|config| slipway_api_quay::configure(config, quay.clone()))
            .configure(slipway_api_gitlab::configure)
            .configure(|config| slipway_api_harmont::configure(config, harmont.clone()))
            .configure(slipway_api_native::configure)
            .configure(slipway_api_conveyor::configure)
            .default_service(web::to(no_such_route))
    })
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(config.traffic.request_head_s)
    // The rest of a body after its answer is read at a pace (`guard_body`), and not once more by the server.
    .client_disconnect_timeout(Duration::ZERO)
    .on_connect(move |connection, _| set_user_timeout(connection, user_timeout))
    // A runner that disconnected must not stay parked: it would be given a job that nobody runs.
    .h1_allow_half_closed(false)
    .shutdown_timeout(SHUTDOWN_S)
    .disable_signals()
    .bind(config.listen)
    .with_context(|| format!("could not listen on {}", config.listen))?;
    let address = server
        .addrs()
        .first()
        .copied()
        .context("the server has no address")?;
    let server = server.run();
    let handle = server.handle();
    let server = slipway_tasks::spawn("http server", server);
    tracing::info!(%address, "Listening on http://{address}");
    Ok(Coordinator {
        address,
        farm,
        handle,
        server,
        _duties: duties,
        _lock: lock,
    })
}

/// Makes the kernel close a connection whose client does not acknowledge sent bytes for `timeout`. A
/// connection without unacknowledged bytes stays open (RFC 5482).
fn set_user_timeout(connection: &dyn Any, timeout: Duration) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(timeout)) {
        tracing::debug!(%error, "Could not set the TCP user timeout of a connection");
    }
}

/// Unknown paths: 404 in GitLab's format, which most clients of the port expect.
async fn no_such_route() -> HttpResponse {
    HttpResponse::NotFound().json(serde_json::json!({ "error": "404 Not Found" }))
}

impl Coordinator {
    /// Stops gracefully: held requests are answered at once, others may finish.
    ///
    /// # Errors
    /// If the server failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.farm.stop();
        self.handle.stop(true).await;
        self.server
            .await
            .context("the task of the server failed")?
            .context("the server failed")
    }
}

/// Applies pending migrations; returns their number.
///
/// # Errors
/// If the database cannot be opened or a migration fails.
pub async fn migrate(config: &Config) -> anyhow::Result<usize> {
    let _lock = data_dir::open(config)?;
    Store::migrate(&config.database())
        .await
        .context("could not migrate the database")
}
