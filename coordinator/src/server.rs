//! Putting a farm together and serving it.

use std::any::Any;
use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::{NormalizePath, TrailingSlash};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use slipway_blobs::Blobs;
use slipway_farm::{Chance, Clock, Farm, Parts, SealKey};
use slipway_git::{Git, Limits};
use slipway_store::Store;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::Config;
use crate::{duties, first_start, health};

/// How long requests may take to finish once the coordinator is told to stop.
const SHUTDOWN_S: u64 = 10;
/// How long a connection may wait for its next request. Our own clients give one up before that.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long a client may take to send the head of a request.
const REQUEST_HEAD: Duration = Duration::from_secs(30);

/// How many times as long as a slow reader has a client may take nothing at all of what it is sent.
const PATIENCE: u32 = 2;

/// A coordinator that serves.
pub struct Coordinator {
    /// Where it listens.
    pub address: SocketAddr,
    /// The farm it serves.
    pub farm: Farm,
    handle: ServerHandle,
    server: JoinHandle<std::io::Result<()>>,
    _duties: JoinSet<()>,
}

/// Starts a coordinator that tells the time by `clock`.
///
/// # Errors
/// Whatever keeps it from serving: the database, the blobs, the key, the address.
pub async fn start(config: &Config, clock: Clock) -> anyhow::Result<Coordinator> {
    make_data_dir(&config.data_dir)?;
    let seal = SealKey::load_or_create(&config.seal_key())?;
    let store = Store::open(&config.database())
        .await
        .context("the database could not be opened")?;
    let blobs = Blobs::open(&config.blobs()).await?;
    let git = Git::new(Limits::default()).context("git could not be prepared")?;
    let git = git.with_known_hosts(config.data_dir.join("known_hosts"));
    let parts = Parts {
        store,
        blobs,
        git,
        clock,
        chance: Chance,
        seal,
        settings: config.settings()?,
    };
    let farm = Farm::open(parts).await?;
    first_start::prepare(&farm, &config.data_dir).await?;
    let duties = duties::start(&farm);
    let data = web::Data::new(farm.clone());
    let patience = config.limits.slow_reader_s * PATIENCE;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            // Old runners put two slashes where one belongs.
            .wrap(NormalizePath::new(TrailingSlash::MergeOnly))
            .configure(health::configure)
            .configure(slipway_api_quay::configure)
            .configure(slipway_api_gitlab::configure)
            .configure(slipway_api_harmont::configure)
            .configure(slipway_api_native::configure)
            .configure(slipway_api_conveyor::configure)
            .default_service(web::to(no_such_route))
    })
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(REQUEST_HEAD)
    .on_connect(move |connection, _| hang_up_after(patience, connection))
    // A runner that hung up must not stay parked: it would be given a job that nobody does.
    .h1_allow_half_closed(false)
    .shutdown_timeout(SHUTDOWN_S)
    .disable_signals()
    .bind(config.listen)
    .with_context(|| format!("{} cannot be listened on", config.listen))?;
    let address = server
        .addrs()
        .first()
        .copied()
        .context("no address to listen on")?;
    let server = server.run();
    let handle = server.handle();
    let server = tokio::spawn(server);
    tracing::info!(%address, "The coordinator serves on http://{address}");
    Ok(Coordinator {
        address,
        farm,
        handle,
        server,
        _duties: duties,
    })
}

/// Has the system hang up on a client that takes nothing, or is gone, for so long; one that is sent
/// nothing may stay (RFC 5482).
fn hang_up_after(patience: Duration, connection: &dyn Any) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(patience)) {
        tracing::debug!(%error, "A connection may stay as long as its client likes");
    }
}

/// Any path that nobody serves: 404 in GitLab's shape, which most clients of the port expect.
async fn no_such_route() -> HttpResponse {
    HttpResponse::NotFound().json(serde_json::json!({ "error": "404 Not Found" }))
}

impl Coordinator {
    /// Stops: held requests are answered at once, others may finish.
    ///
    /// # Errors
    /// When the server had failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.farm.stop();
        self.handle.stop(true).await;
        self.server
            .await
            .context("the server's task ended badly")?
            .context("the server failed")
    }
}

/// Applies the migrations that the database lacks; returns how many those were.
///
/// # Errors
/// When the database cannot be opened or a migration fails.
pub async fn migrate(config: &Config) -> anyhow::Result<usize> {
    make_data_dir(&config.data_dir)?;
    Store::migrate(&config.database())
        .await
        .context("the database could not be migrated")
}

/// Makes the directory, for its owner alone, when it is not there: it holds tokens and the database.
fn make_data_dir(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("{} could not be made", path.display()))
}
