//! Background tasks: the only place in the workspace that calls `tokio::spawn`. Also the signals that
//! end programs.
//!
//! `tokio::spawn` starts a task outside of the caller's tracing span, and a panic in it stays
//! silent unless the handle is awaited. [`spawn`] keeps the span and logs the panic;
//! [`run_every`] repeats a piece of work until it is cancelled.

mod signals;

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

pub use signals::{StopSignal, StopSignals};

/// Starts `future` as a task in the current tracing span.
///
/// If the task panics, the panic is logged as an error with the task's `name`. The handle then
/// returns a [`JoinError`](tokio::task::JoinError), as after a plain `tokio::spawn`.
///
/// # Panics
/// Panics if called outside of a Tokio runtime.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let supervised = async move {
        // The task ends with the panic either way, so nothing observes a half-changed state that
        // it would not have observed without the catch.
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(output) => output,
            Err(panic) => {
                let message = message_of(panic.as_ref());
                tracing::error!(task = name, "Task {name} panicked: {message}");
                // A caller that awaits the handle must still see that the task failed.
                resume_unwind(panic)
            }
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the wrapper that all other code calls"
    )]
    tokio::spawn(supervised.in_current_span())
}

/// Starts a task that calls `tick` now and then every `interval`, until `cancellation`.
///
/// Ticks never overlap. After a tick that took longer than the interval, or after the host was
/// suspended, missed ticks are skipped. Cancelling drops a tick that is running at its next
/// await point. A tick that panics is logged and ends the loop.
///
/// # Panics
/// Panics if `every` is zero, or if called outside of a Tokio runtime.
pub fn run_every<T, F>(
    name: &'static str,
    every: Duration,
    cancellation: CancellationToken,
    mut tick: T,
) -> JoinHandle<()>
where
    T: FnMut() -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let repeat = async move {
        let mut ticks = interval(every);
        // A tick does all that is due, so catching up on missed ones would only repeat it.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            tick().await;
        }
    };
    spawn(name, async move {
        let _: Option<()> = cancellation.run_until_cancelled(repeat).await;
    })
}

/// The text of a panic, if it has one.
fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};

    use tokio::sync::mpsc;

    use super::*;

    /// Collects log lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn broken() {
        panic!("broken");
    }

    #[tokio::test]
    async fn panic_of_a_task_is_logged_in_the_span_of_its_caller() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let span = tracing::info_span!("job", job.id = 7);
        let task = span.in_scope(|| spawn("example", broken()));
        assert!(task.await.unwrap_err().is_panic());
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("ERROR job{job.id=7}"), "{text}");
        assert!(text.contains("Task example panicked: broken"), "{text}");
    }

    #[tokio::test]
    async fn spawn_returns_the_output() {
        assert_eq!(spawn("example", async { 3 }).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn run_every_ticks_until_it_is_cancelled() {
        let (ticked, mut ticks) = mpsc::unbounded_channel();
        let count = Arc::new(AtomicU32::new(0));
        let cancellation = CancellationToken::new();
        let task = run_every("example", Duration::from_millis(1), cancellation.clone(), {
            let count = Arc::clone(&count);
            move || {
                let _ = ticked.send(count.fetch_add(1, Ordering::Relaxed));
                std::future::ready(())
            }
        });
        for expected in 0..3 {
            assert_eq!(ticks.recv().await, Some(expected));
        }
        cancellation.cancel();
        task.await.unwrap();
        // Nothing ticks after the task has ended.
        assert!(count.load(Ordering::Relaxed) >= 3);
        while ticks.recv().await.is_some() {}
    }

    #[tokio::test]
    async fn cancelling_drops_a_tick_that_is_running() {
        let (started, mut starts) = mpsc::unbounded_channel();
        let cancellation = CancellationToken::new();
        let task = run_every("example", Duration::from_secs(1), cancellation.clone(), {
            move || {
                let started = started.clone();
                async move {
                    let _ = started.send(());
                    std::future::pending().await
                }
            }
        });
        starts.recv().await.unwrap();
        cancellation.cancel();
        task.await.unwrap();
    }
}
