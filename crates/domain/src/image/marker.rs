//! The line by which shell commands tell the farm which image they pushed.
//!
//! A stock runner reports a result and a trace, and nothing else. So the commands it is given for an
//! image end by printing a line with the digest, which is looked for in the trace of a job that
//! succeeded. The line begins with a mark that follows from the job: what a build prints cannot pass
//! for it, as no step of a build has seen the mark.

/// How much of a trace's end is looked at, in bytes.
pub const MARKER_SEARCH_BYTES: u64 = 64 * 1024;

/// What every such line begins with.
const WORD: &str = "slipway-image";

/// The mark of one job's line.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageMarker(String);

/// What a line tells of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedImage {
    /// The digest of its manifest.
    pub digest: String,
    /// The unpacked size of its layers, in bytes.
    pub size_bytes: u64,
}

impl ImageMarker {
    /// A mark from bytes that nobody can guess.
    pub fn from_entropy(bytes: &[u8]) -> Self {
        Self(hex::encode(bytes))
    }

    /// The line, with whatever stands for digest and size where it is printed.
    pub fn line(&self, digest: &str, size_bytes: &str) -> String {
        format!("{WORD} {} {digest} {size_bytes}", self.0)
    }

    /// Reads the last line with this mark in the end of a trace.
    ///
    /// Runners show a command before they run it: what is no line by itself, or has no digest, is
    /// passed over.
    pub fn find(&self, end_of_trace: &[u8]) -> Option<MarkedImage> {
        let lines = end_of_trace.rsplit(|byte| *byte == b'\n');
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
    fn what_was_printed_is_read_back_from_among_other_lines() {
        let (mark, other) = (
            ImageMarker::from_entropy(&[7; 20]),
            ImageMarker::from_entropy(&[8; 20]),
        );
        let digest = format!("sha256:{}", "0a".repeat(32));
        let later = format!("sha256:{}", "0b".repeat(32));
        let shown = format!("\x1b[32;1m$ echo \"{}\"\x1b[0;m", mark.line("$d", "$s"));
        let mut trace = [
            "Step 1/2 : RUN make".to_owned(),
            other.line(&digest, "1"),
            mark.line(&later, "1"),
            shown,
            mark.line(&digest, "123"),
            mark.line("$d", "$s"),
            "Build succeeded".to_owned(),
        ]
        .join("\r\n")
        .into_bytes();
        trace.splice(0..0, *b"\xff\xfe\n");
        let found = mark.find(&trace);
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
    fn what_only_looks_like_the_line_is_passed_over() {
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let digest = format!("sha256:{}", "0a".repeat(32));
        let good = mark.line(&digest, "1");
        for bad in [
            String::new(),
            format!("> {good}"),
            mark.line("sha256:0a", "1"),
            mark.line(&digest.to_uppercase(), "1"),
            mark.line(&digest, "-1"),
            mark.line(&digest, ""),
            good.replace("slipway-image ", "slipway-image"),
        ] {
            assert_eq!(mark.find(bad.as_bytes()), None, "{bad}");
        }
        assert!(mark.find(good.as_bytes()).is_some());
    }
}
