//! From blocking code that writes to the pieces of a request's body.

use std::io::{self, BufWriter, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

/// How many pieces wait for the reader.
const PIECES: usize = 8;
/// How large a piece is, in bytes.
const PIECE: usize = 64 * 1024;

/// Runs `write` in the background; the pieces of what it writes come out of the channel, and its
/// error last.
///
/// What is written is never whole in memory or on disk: a reader that is slow holds the writer up,
/// and one that goes away ends it.
pub fn pieces_of(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, pieces) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut writer = BufWriter::with_capacity(PIECE, Sink(sender.clone()));
        let written = write(&mut writer).and_then(|()| writer.flush());
        if let Err(error) = written {
            // Nobody listens any more when the work has ended early.
            let _ = sender.blocking_send(Err(error));
        }
    });
    pieces
}

/// The writing end of the channel.
struct Sink(mpsc::Sender<io::Result<Bytes>>);

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(piece)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
