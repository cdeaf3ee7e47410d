//! How long each part of the demonstration took.

use std::time::{Duration, Instant};

/// The parts so far.
#[derive(Debug, Default)]
pub(super) struct Timings(Vec<(&'static str, Duration)>);

impl Timings {
    /// Does one part.
    pub(super) async fn take<T>(&mut self, part: &'static str, work: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let done = work.await;
        self.0.push((part, start.elapsed()));
        done
    }

    /// Says what happened, and what each part took.
    pub(super) fn report(&self) {
        println!(
            "\nTwo commits became two images: built by the farm, pushed to the registry, pulled"
        );
        println!("back by digest and run. Each said what its commit says.\n");
        for (part, took) in &self.0 {
            println!("  {part:<12} {:>7.1} s", took.as_secs_f64());
        }
        println!();
    }
}
