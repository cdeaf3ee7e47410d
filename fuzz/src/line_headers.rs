//! Reads arbitrary bytes as a trace with the line headers of gitlab-runner.

use slipway_domain::timestamps::{TimestampReader, without_header};

/// The result does not depend on how the trace is cut into pieces, or on storing the reader between
/// them. The first byte is the length of the pieces.
pub(crate) fn run(bytes: &[u8]) {
    let Some((length, trace)) = bytes.split_first() else {
        return;
    };
    let whole = read(&mut std::iter::once(trace));
    let pieces = read(&mut trace.chunks(usize::from(*length).max(1)));
    assert_eq!(whole, pieces);
    assert!(whole.0.len() <= trace.len());
    assert!(without_header(trace).len() <= trace.len());
    restore(&String::from_utf8_lossy(trace), trace);
}

/// The text, and where its lines with a time begin.
fn read(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Vec<u8>, Vec<usize>) {
    let mut reader = TimestampReader::default();
    let (mut text, mut times) = (Vec::new(), Vec::new());
    for piece in pieces {
        let taken = reader.take(piece);
        times.extend(taken.times.iter().map(|time| text.len() + time.offset));
        text.extend(taken.text);
        let stored = reader.to_string();
        assert_eq!(stored.parse().as_ref(), Ok(&reader), "{stored}");
    }
    text.extend(reader.end(true).into_bytes());
    (text, times)
}

/// A stored reader that was changed by somebody may be refused, but must not stop the program.
fn restore(stored: &str, trace: &[u8]) {
    if let Ok(mut reader) = stored.parse::<TimestampReader>() {
        reader.take(trace);
        reader.end(false);
    }
}
