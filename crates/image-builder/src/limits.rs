//! What one job may use of its host, as far as the engine can enforce it.

/// The period over which the engine counts CPU time, in microseconds.
const CPU_PERIOD_US: u64 = 100_000;
/// The smallest CPU quota per period that the engine accepts, in microseconds.
const MIN_CPU_QUOTA_US: u64 = 1000;

/// What one job may use. `None` means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes; none of it is swapped out.
    pub memory_bytes: Option<u64>,
    /// CPU time, in billionths of a CPU.
    pub nano_cpus: Option<u64>,
    /// Disk space that the job may write, in bytes.
    pub disk_bytes: Option<u64>,
}

impl Limits {
    /// The limits for the steps of a build, as query parameters of the engine's build request;
    /// empty without limits.
    pub(crate) fn query(&self) -> String {
        let mut parameters = Vec::new();
        if let Some(bytes) = self.memory_bytes {
            parameters.push(format!("memory={bytes}&memswap={bytes}"));
        }
        if let Some(nano_cpus) = self.nano_cpus {
            let quota = nano_cpus.saturating_mul(CPU_PERIOD_US) / 1_000_000_000;
            parameters.push(format!(
                "cpuperiod={CPU_PERIOD_US}&cpuquota={}",
                quota.max(MIN_CPU_QUOTA_US)
            ));
        }
        parameters.join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_query_parameters_of_the_engine() {
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
        assert_eq!(least.query(), "cpuperiod=100000&cpuquota=1000");
    }
}
