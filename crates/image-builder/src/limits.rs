//! What one job may use of its host, as far as the engine sees to it.

use crate::builder::{Backend, Builder};

/// The stretch over which the engine counts processor time, in microseconds.
const PERIOD_US: u64 = 100_000;

/// What one job may use. What is absent is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory, of which none is swapped out, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processor time, in billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// What it may write to disk, in bytes.
    pub disk_bytes: Option<u64>,
}

impl Limits {
    /// The limits of a build's steps in the words of the engine, for the query of its request.
    fn query(&self) -> String {
        let mut words = Vec::new();
        if let Some(bytes) = self.memory_bytes {
            words.push(format!("memory={bytes}&memswap={bytes}"));
        }
        if let Some(nano_cpus) = self.nano_cpus {
            let quota = nano_cpus.saturating_mul(PERIOD_US) / 1_000_000_000;
            words.push(format!(
                "cpuperiod={PERIOD_US}&cpuquota={}",
                quota.max(1000)
            ));
        }
        words.join("&")
    }
}

impl Builder {
    /// The same engine for jobs that may use no more than this.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What a job may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether memory and processor time of the steps of image builds are bounded.
    ///
    /// BuildKit in an engine takes no limits: it runs the steps of all builds in one control group
    /// of its own, also where a request names another.
    pub fn bounds_builds(&self) -> bool {
        self.backend() == Backend::Classic
    }

    /// What is added to the request of a build, if anything is.
    pub(crate) fn limits_of_build(&self) -> Option<String> {
        let query = self.limits.query();
        (self.bounds_builds() && !query.is_empty()).then_some(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_said_in_the_words_of_the_engine() {
        let limits = Limits {
            memory_bytes: Some(64 << 20),
            nano_cpus: Some(1_500_000_000),
            disk_bytes: Some(1),
        };
        assert_eq!(
            limits.query(),
            "memory=67108864&memswap=67108864&cpuperiod=100000&cpuquota=150000"
        );
        assert_eq!(Limits::default().query(), "");
        let least = Limits {
            nano_cpus: Some(1),
            ..Limits::default()
        };
        // The engine takes no less.
        assert_eq!(least.query(), "cpuperiod=100000&cpuquota=1000");
    }
}
