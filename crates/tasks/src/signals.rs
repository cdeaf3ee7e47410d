//! The signals that ask a program to stop, for programs that run for a long time.
//!
//! SIGTERM, SIGINT and SIGQUIT ask to stop. SIGHUP does so only if the terminal was closed: otherwise
//! somebody expects the program to read its configuration again, which it does not support and which
//! must not end it.

use std::fs::File;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long to wait before looking whether the terminal is gone: the kernel may send SIGHUP first.
const TERMINAL_CLOSES: Duration = Duration::from_millis(200);

/// Why a program should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM, SIGINT or SIGQUIT.
    Requested,
    /// The terminal in which the program was started was closed. It may be reported several times.
    TerminalClosed,
}

/// Receives the signals that ask the program to stop. Their default actions are off from the creation
/// of this value until the program ends.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    /// `None` if SIGHUP was ignored when the program was started, as by `nohup`.
    hangup: Option<Signal>,
    had_terminal: bool,
}

impl StopSignals {
    /// Installs the signal handlers.
    ///
    /// # Errors
    /// Fails if a handler cannot be installed.
    ///
    /// # Panics
    /// Panics if called outside of a Tokio runtime.
    pub fn install() -> io::Result<Self> {
        // Before the handlers are installed: they would hide what was inherited.
        let hangup = if is_hangup_ignored() {
            None
        } else {
            Some(signal(SignalKind::hangup())?)
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup,
            had_terminal: has_terminal(),
        })
    }

    /// Waits for the next signal that asks the program to stop.
    pub async fn next(&mut self) -> StopSignal {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return StopSignal::Requested,
                _ = self.interrupt.recv() => return StopSignal::Requested,
                _ = self.quit.recv() => return StopSignal::Requested,
                () = received(self.hangup.as_mut()) => {}
            }
            if self.had_terminal {
                tokio::time::sleep(TERMINAL_CLOSES).await;
                if !has_terminal() {
                    return StopSignal::TerminalClosed;
                }
            }
            tracing::warn!(
                "Ignored SIGHUP: the configuration is read at the start only; restart the program to \
                 apply changes"
            );
        }
    }
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether the process has a controlling terminal.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP is ignored in this process.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status) & 1 != 0
}

/// The set of ignored signals in the text of `/proc/self/status`: bit 0 is signal 1, SIGHUP.
fn ignored_signals(status: &str) -> u64 {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_of_ignored_signals_is_read() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n";
        assert_eq!(ignored_signals(status), 0x1001);
        assert_eq!(ignored_signals(""), 0);
        // The Rust runtime ignores SIGPIPE in every program.
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        assert_ne!(ignored_signals(&own) & (1 << 12), 0);
    }
}
