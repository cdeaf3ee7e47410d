//! The line in a trace in which shell commands report the image they pushed.
//!
//! A stock runner reports only a result and a trace. So the commands it gets for an image build end
//! by printing a line with the digest, and the farm looks for that line in the trace of a successful
//! job. The line starts with a marker that is derived from the job. No build step sees the marker, so
//! the output of a build cannot forge the line.

use crate::job::timestamps::without_header;

/// The number of bytes at the end of a trace in which the line is looked for.
pub const MARKER_SEARCH_BYTES: u64 = 64 * 1024;

/// The first word of the line.
const WORD: &str = "slipway-image";

/// The secret marker of one job's line.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageMarker(String);

/// An image as reported in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedImage {
    /// The digest of the manifest.
    pub digest: String,
    /// The unpacked size of the layers, in bytes.
    pub size_bytes: u64,
}

impl ImageMarker {
    /// Creates a marker from bytes that nobody can guess.
    pub fn from_entropy(bytes: &[u8]) -> Self {
        Self(hex::encode(bytes))
    }

    /// The line for `digest` and `size_bytes`, which may be shell variables.
    pub fn line(&self, digest: &str, size_bytes: &str) -> String {
        format!("{WORD} {} {digest} {size_bytes}", self.0)
    }

    /// Returns the image in the last matching line of `end_of_trace`.
    ///
    /// Runners echo a command before they run it, so lines that have other text before the marker or
    /// no digest are skipped.
    pub fn find(&self, end_of_trace: &[u8]) -> Option<MarkedImage> {
        let lines = end_of_trace.rsplit(|byte| *byte == b'\n');
        // A trace of which a part was stored by an earlier version may still have headers.
        let lines = lines.map(without_header);
        let mut lines = lines.filter_map(|line| std::str::from_utf8(line).ok());
        lines.find_map(|line| self.read(line.trim_end()))
    }

    fn read(&self, line: &str) -> Option<MarkedImage> {
        let rest = line.strip_prefix(WORD)?.strip_prefix(' ')?;
        let rest = rest.strip_prefix(self.0.as_str())?.strip_prefix(' ')?;
        let (digest, size) = rest.split_once(' ')?;
        let hex = digest.strip_prefix("sha256:")?;
        let is_digest = hex.len() == 64 && hex.bytes().all(|b| b"0123456789abcdef".contains(&b));
        is_digest.then_some(MarkedImage {
            digest: digest.to_owned(),
            size_bytes: size.parse().ok()?,
        })
    }
}

impl std::fmt::Debug for ImageMarker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ImageMarker(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_with_the_marker_and_a_digest_is_found() {
        let (marker, other) = (
            ImageMarker::from_entropy(&[7; 20]),
            ImageMarker::from_entropy(&[8; 20]),
        );
        let digest = format!("sha256:{}", "0a".repeat(32));
        let later = format!("sha256:{}", "0b".repeat(32));
        let shown = format!("\x1b[32;1m$ echo \"{}\"\x1b[0;m", marker.line("$d", "$s"));
        let mut trace = [
            "Step 1/2 : RUN make".to_owned(),
            other.line(&digest, "1"),
            marker.line(&later, "1"),
            shown,
            marker.line(&digest, "123"),
            marker.line("$d", "$s"),
            "Build succeeded".to_owned(),
        ]
        .join("\r\n")
        .into_bytes();
        trace.splice(0..0, *b"\xff\xfe\n");
        let found = marker.find(&trace);
        assert_eq!(
            found,
            Some(MarkedImage {
                digest,
                size_bytes: 123
            })
        );
        assert_eq!(ImageMarker::from_entropy(&[9; 20]).find(&trace), None);
    }

    #[test]
    fn lines_that_only_resemble_a_marker_line_are_skipped() {
        let marker = ImageMarker::from_entropy(&[7; 20]);
        let digest = format!("sha256:{}", "0a".repeat(32));
        let good = marker.line(&digest, "1");
        for bad in [
            String::new(),
            format!("> {good}"),
            marker.line("sha256:0a", "1"),
            marker.line(&digest.to_uppercase(), "1"),
            marker.line(&digest, "-1"),
            marker.line(&digest, ""),
            good.replace("slipway-image ", "slipway-image"),
        ] {
            assert_eq!(marker.find(bad.as_bytes()), None, "{bad}");
        }
        assert!(marker.find(good.as_bytes()).is_some());
    }
}
