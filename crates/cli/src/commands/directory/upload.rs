//! Uploads a build context. It is packed during the upload, so that it is never completely in memory
//! or on disk.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use slipway_build_context::{Context, Packing, chunks_of_writer};
use slipway_client::{ClientError, Source};

use super::progress_bar::ProgressBar;
use crate::args::{ProgressKind, ProjectName};
use crate::commands::Session;
use crate::output::size;

/// Uploads a build context, and prints its size.
pub(super) async fn upload(
    session: &Session,
    project: &ProjectName,
    context: Context,
    packing: Packing,
    progress: ProgressKind,
) -> Result<Source> {
    let (context, extent) = tokio::task::spawn_blocking(move || {
        let extent = context.measure(packing)?;
        io::Result::Ok((context, extent))
    })
    .await?
    .context("could not pack the build context")?;
    let bar = ProgressBar::new(
        session,
        progress,
        "Sending the build context",
        extent.archive_bytes,
    );
    let (sent, failure) = (bar.done(), Arc::new(OnceLock::new()));
    let mut pieces = {
        let failure = Arc::clone(&failure);
        chunks_of_writer(move |writer| {
            let written = pack(&context, packing, sent, writer);
            if let Err(error) = &written {
                // Cannot fail: there is only one writer.
                let _ = failure.set(error.to_string());
            }
            written
        })
    };
    let pieces = stream::poll_fn(move |waker| pieces.poll_recv(waker));
    let client = &session.client;
    let sending = client.send_source(&project.namespace, &project.name, pieces);
    let result = bar.follow(sending).await?;
    match (result, failure.get()) {
        (Ok(source), _) => {
            let (entries, bytes, packed) = (extent.entries, extent.bytes, source.size_bytes);
            let (bytes, packed) = (size(bytes), size(packed));
            let note = format!("Sent {entries} entries of {bytes}, packed into {packed}");
            session.output.note(&note)?;
            Ok(source)
        }
        // If the farm rejects the upload it stops reading, and packing fails as a consequence.
        (Err(error @ ClientError::Api { .. }), _) => {
            let is_large = matches!(error, ClientError::Api { status: 413, .. });
            let error = anyhow::Error::new(error);
            if is_large {
                bail!(
                    "the build context is too large for the farm ({error}): exclude what the build does \
                     not need in .dockerignore"
                );
            }
            Err(error)
        }
        (Err(_), Some(why)) => bail!("could not pack the build context: {why}"),
        (Err(error), None) => Err(error.into()),
    }
}

/// Writes the context as a gzipped tar. `sent` counts the bytes before compression.
fn pack(
    context: &Context,
    packing: Packing,
    sent: Arc<AtomicU64>,
    writer: &mut dyn Write,
) -> io::Result<()> {
    let packed = GzEncoder::new(writer, Compression::fast());
    let mut counted = Counted { packed, sent };
    context.write(packing, &mut counted)?;
    counted.packed.finish()?.flush()
}

/// Counts the bytes that are written, before compression.
struct Counted<W: Write> {
    packed: GzEncoder<W>,
    sent: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let count = self.packed.write(piece)?;
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
