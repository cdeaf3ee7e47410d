//! What readers see of a trace beyond its limit, computed from the whole trace.

/// A trace of which a part is missing.
pub(crate) struct CutTrace {
    /// The text while the job runs.
    pub(crate) running: Vec<u8>,
    /// The text when the job has ended.
    pub(crate) ended: Vec<u8>,
    /// How many bytes are missing.
    pub(crate) missing: usize,
}

/// Cuts `text`, which has whole characters at the cuts.
pub(crate) fn cut(text: &[u8], limit: usize) -> CutTrace {
    let kept = limit / 4;
    let (head, rest) = text.split_at(limit - kept);
    let least = rest.len() - kept;
    let is_start = |at: &usize| rest[at - 1] == b'\n';
    let line = (least..rest.len()).find(is_start);
    let missing = line.unwrap_or(least);
    let mut running = head.to_vec();
    if !head.ends_with(b"\n") {
        running.push(b'\n');
    }
    running.extend_from_slice(
        b"[the trace has reached its limit; its last lines follow at the end of the job",
    );
    let notice = format!(": {missing} bytes are missing here]\n");
    let ended = [&running, notice.as_bytes(), &rest[missing..]].concat();
    CutTrace {
        running,
        ended,
        missing,
    }
}

/// A text with numbered lines of different lengths.
pub(crate) fn numbered_lines(count: usize) -> String {
    let lines = (0..count).map(|number| format!("line {number} {}\n", "-".repeat(number % 17)));
    lines.collect()
}
