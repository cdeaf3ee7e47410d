//! The time that each part of the demo took.

use std::time::{Duration, Instant};

/// The parts that have run.
#[derive(Debug, Default)]
pub(super) struct Timings(Vec<(&'static str, Duration)>);

impl Timings {
    /// Runs one part and records its time.
    pub(super) async fn measure<T>(
        &mut self,
        part: &'static str,
        work: impl Future<Output = T>,
    ) -> T {
        let start = Instant::now();
        let done = work.await;
        self.0.push((part, start.elapsed()));
        done
    }

    /// Prints what happened, and the time of each part.
    pub(super) fn report(&self) {
        println!(
            "\nThe farm built two commits and pushed two images. Each was pulled by digest and run, and"
        );
        println!("printed the greeting of its commit.\n");
        for (part, took) in &self.0 {
            println!("  {part:<12} {:>7.1} s", took.as_secs_f64());
        }
        println!();
    }
}
