//! Connecting to a directory or an S3 bucket.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::error::BlobError;
use crate::location::BlobLocation;

/// An object store and how blobs are kept in it.
pub(crate) struct Connection {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The prefix of all keys; empty for a directory.
    pub(crate) prefix: Path,
    /// Set for a directory.
    pub(crate) root: Option<PathBuf>,
    /// The size of the parts in which a stream is written, in bytes.
    pub(crate) part_size: usize,
}

/// Connects to `location`, and creates the directory if it is one.
pub(crate) fn connect(location: &BlobLocation) -> Result<Connection, BlobError> {
    let connected = match location {
        BlobLocation::Directory(path) => directory(path),
        BlobLocation::S3 {
            bucket,
            prefix,
            endpoint,
            region,
            allow_http,
        } => {
            let region = region.as_deref().unwrap_or("us-east-1");
            s3(bucket, prefix, endpoint.as_deref(), region, *allow_http)
        }
    };
    connected.map_err(|source| BlobError::Unusable {
        location: location.to_string(),
        step: "open",
        source,
    })
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

fn directory(path: &FilePath) -> Result<Connection, Cause> {
    let path = std::path::absolute(path)?;
    create_durably(&path)?;
    let path = path.canonicalize()?;
    // An acknowledged blob has to outlive a power cut, so files and directories are synced.
    let store = LocalFileSystem::new_with_prefix(&path)?.with_fsync(true);
    Ok(Connection {
        store: Arc::new(store),
        prefix: Path::default(),
        root: Some(path),
        part_size: 1024 * 1024,
    })
}

/// Creates a directory that only its owner may enter, and its parents, so that they survive a crash.
fn create_durably(path: &FilePath) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    create_durably(parent)?;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        // Another coordinator may have created it meanwhile.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => std::fs::File::open(parent)?.sync_all(),
    }
}

fn s3(
    bucket: &str,
    prefix: &str,
    endpoint: Option<&str>,
    region: &str,
    allow_http: bool,
) -> Result<Connection, Cause> {
    // The HTTP client has no built-in crypto provider. This fails if another part of the process has
    // installed one already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_access_key_id(credential("AWS_ACCESS_KEY_ID")?)
        .with_secret_access_key(credential("AWS_SECRET_ACCESS_KEY")?)
        .with_allow_http(allow_http)
        // Every S3 server supports `DELETE key`, but not all support bulk deletes.
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            max_retries: 5,
            retry_timeout: Duration::from_secs(30),
            ..RetryConfig::default()
        })
        .with_client_options(
            // A large artifact may take long, so only an idle connection times out.
            ClientOptions::new()
                .with_allow_http(allow_http)
                .with_timeout_disabled()
                .with_connect_timeout(Duration::from_secs(5))
                .with_read_timeout(Duration::from_secs(30)),
        );
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Ok(token) = std::env::var("AWS_SESSION_TOKEN") {
        builder = builder.with_token(token);
    }
    Ok(Connection {
        store: Arc::new(builder.build()?),
        prefix: Path::parse(prefix)?,
        root: None,
        part_size: 8 * 1024 * 1024,
    })
}

fn credential(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set"))
}
