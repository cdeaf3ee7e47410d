//! Turns blocking code that writes into the chunks of a request body.

use std::io::{self, BufWriter, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

/// How many chunks are buffered for the reader.
const CHUNK_BUFFER: usize = 8;
/// The size of a chunk, in bytes.
const CHUNK: usize = 64 * 1024;

/// Runs `write` in the background. The channel yields what it writes in chunks, and its error last.
///
/// The output is never held completely in memory or on disk: a slow reader slows the writer down,
/// and dropping the channel ends it.
pub fn chunks_of_writer(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, chunks) = mpsc::channel(CHUNK_BUFFER);
    tokio::task::spawn_blocking(move || {
        let mut writer = BufWriter::with_capacity(CHUNK, ChannelWriter(sender.clone()));
        let written = write(&mut writer).and_then(|()| writer.flush());
        if let Err(error) = written {
            // Fails if the reader has dropped the channel, and then the error is a result of that.
            let _ = sender.blocking_send(Err(error));
        }
    });
    chunks
}

struct ChannelWriter(mpsc::Sender<io::Result<Bytes>>);

impl Write for ChannelWriter {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(chunk)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
