//! Sending a context: it is packed while it goes, so that it is never whole in memory or on disk.

use std::io::{self, IsTerminal as _, Write, stderr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use slipway_build_context::{Context, Extent, Packing, pieces_of};
use slipway_client::{ClientError, Source};

use crate::args::{ProgressKind, ProjectName};
use crate::commands::Session;
use crate::output::size;

/// How often the bar is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);
/// How many signs the bar has.
const WIDTH: u64 = 30;

/// Sends a context, and says how much it was.
pub(super) async fn send(
    session: &Session,
    project: &ProjectName,
    context: Context,
    packing: Packing,
    progress: ProgressKind,
) -> Result<Source> {
    let (context, extent) = tokio::task::spawn_blocking(move || {
        let extent = context.extent(packing)?;
        io::Result::Ok((context, extent))
    })
    .await?
    .context("the context cannot be packed")?;
    if let Some(link) = &extent.link_out {
        bail!(
            "{} is a link that leads out of the context, and nothing else is sent: leave it out in .dockerignore, or put in its place what it leads to",
            link.display()
        );
    }
    let (sent, failure) = (Arc::new(AtomicU64::new(0)), Arc::new(OnceLock::new()));
    let mut pieces = {
        let (sent, failure) = (Arc::clone(&sent), Arc::clone(&failure));
        pieces_of(move |writer| {
            let written = pack(&context, packing, sent, writer);
            if let Err(error) = &written {
                // There is one writer.
                let _ = failure.set(error.to_string());
            }
            written
        })
    };
    let pieces = stream::poll_fn(move |waker| pieces.poll_recv(waker));
    let client = &session.client;
    let mut sending = pin!(client.send_source(&project.namespace, &project.name, pieces));
    let draws = progress == ProgressKind::Auto && !session.output.is_json();
    let bar = (draws && stderr().is_terminal()).then_some(Bar { extent: &extent });
    let answer = loop {
        let Some(bar) = &bar else {
            break sending.await;
        };
        bar.draw(sent.load(Ordering::Relaxed))?;
        if let Ok(answer) = tokio::time::timeout(REDRAW, &mut sending).await {
            bar.clear()?;
            break answer;
        }
    };
    match (answer, failure.get()) {
        (Ok(source), _) => {
            let (entries, bytes, packed) = (extent.entries, extent.bytes, source.size_bytes);
            let (bytes, packed) = (size(bytes), size(packed));
            let note = format!("Sent {entries} entries of {bytes}, packed into {packed}");
            session.output.note(&note)?;
            Ok(source)
        }
        // Whoever reads goes away when the farm has refused.
        (Err(error @ ClientError::Api { .. }), _) => {
            let is_large = matches!(error, ClientError::Api { status: 413, .. });
            let error = anyhow::Error::new(error);
            Err(match is_large {
                true => anyhow::anyhow!(
                    "the context is too large for the farm ({error}): leave out in .dockerignore what the build does not need"
                ),
                false => error,
            })
        }
        (Err(_), Some(why)) => bail!("the context cannot be packed: {why}"),
        (Err(error), None) => Err(error.into()),
    }
}

/// Writes the context as a gzipped tar; `sent` counts what goes into it before it is gzipped.
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

/// Counts what is written.
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

/// How much of a context is sent, on a terminal.
struct Bar<'a> {
    extent: &'a Extent,
}

impl Bar<'_> {
    fn draw(&self, sent: u64) -> io::Result<()> {
        let mut terminal = stderr().lock();
        write!(
            terminal,
            "\r\x1b[K{}",
            line(self.extent.archive_bytes, sent)
        )?;
        terminal.flush()
    }

    fn clear(&self) -> io::Result<()> {
        let mut terminal = stderr().lock();
        write!(terminal, "\r\x1b[K")?;
        terminal.flush()
    }
}

fn line(total: u64, sent: u64) -> String {
    // The archive has a little more in it than was counted when names are long.
    let sent = sent.min(total);
    let part = |whole: u64| {
        (sent.saturating_mul(whole))
            .checked_div(total)
            .unwrap_or(whole)
    };
    let signs = usize::try_from(part(WIDTH)).unwrap_or(0);
    let bar = "#".repeat(signs);
    let (percent, sent, total) = (part(100), size(sent), size(total));
    let width = usize::try_from(WIDTH).unwrap_or(0);
    format!("Sending the context [{bar:<width$}] {percent:>3} % {sent} of {total}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_at_the_end_and_never_fuller() {
        assert!(line(0, 0).contains("100 %"));
        assert!(line(2048, 1024).contains("50 %"), "{}", line(2048, 1024));
        assert!(line(2048, 1024).contains(&format!("[{}{}]", "#".repeat(15), " ".repeat(15))));
        assert_eq!(line(2048, 4096), line(2048, 2048));
    }
}
