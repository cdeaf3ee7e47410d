//! A progress bar on the terminal.

use std::io::{self, IsTerminal as _, Write as _, stderr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::args::ProgressKind;
use crate::commands::Session;
use crate::output::size;

/// How often the bar is redrawn.
const REDRAW: Duration = Duration::from_millis(100);
/// The width of the bar in characters.
const WIDTH: u64 = 30;

/// The progress of an upload or download. It is drawn only on a terminal.
pub(super) struct ProgressBar {
    what: &'static str,
    total: u64,
    done: Arc<AtomicU64>,
    is_drawn: bool,
}

impl ProgressBar {
    /// Creates a bar for `total` bytes.
    pub(super) fn new(
        session: &Session,
        progress: ProgressKind,
        what: &'static str,
        total: u64,
    ) -> Self {
        let draws = progress == ProgressKind::Auto && !session.output.is_json();
        Self {
            what,
            total,
            done: Arc::default(),
            is_drawn: draws && stderr().is_terminal(),
        }
    }

    /// The counter of bytes that are done.
    pub(super) fn done(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.done)
    }

    /// Draws the progress of `work` until it finishes.
    pub(super) async fn follow<T>(&self, work: impl Future<Output = T>) -> io::Result<T> {
        let mut work = pin!(work);
        if !self.is_drawn {
            return Ok(work.await);
        }
        loop {
            let line = line(self.what, self.total, self.done.load(Ordering::Relaxed));
            draw(&line)?;
            if let Ok(result) = tokio::time::timeout(REDRAW, &mut work).await {
                draw("")?;
                return Ok(result);
            }
        }
    }
}

fn draw(line: &str) -> io::Result<()> {
    let mut terminal = stderr().lock();
    write!(terminal, "\r\x1b[K{line}")?;
    terminal.flush()
}

fn line(what: &str, total: u64, done: u64) -> String {
    // Long names take more bytes in the archive than were counted.
    let done = done.min(total);
    let part = |whole: u64| {
        (done.saturating_mul(whole))
            .checked_div(total)
            .unwrap_or(whole)
    };
    let filled = usize::try_from(part(WIDTH)).unwrap_or(0);
    let bar = "#".repeat(filled);
    let (percent, done, total) = (part(100), size(done), size(total));
    let width = usize::try_from(WIDTH).unwrap_or(0);
    format!("{what} [{bar:<width$}] {percent:>3} % {done} of {total}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_at_the_end_and_does_not_overflow() {
        let line = |total, done| line("Sending", total, done);
        assert!(line(0, 0).contains("100 %"));
        assert!(line(2048, 1024).contains("50 %"), "{}", line(2048, 1024));
        assert!(line(2048, 1024).contains(&format!("[{}{}]", "#".repeat(15), " ".repeat(15))));
        assert_eq!(line(2048, 4096), line(2048, 2048));
    }
}
