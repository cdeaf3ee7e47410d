//! Flags that limit how much of the host jobs and caches use.

use std::time::Duration;

use clap::Args;
use slipway_image_builder::{Builder, Limits};

use crate::docker::CacheLimits;

const MIB: u64 = 1024 * 1024;

/// Limits on jobs and caches.
#[derive(Debug, Args)]
pub struct LimitFlags {
    /// Size limit of the engine's build cache, in MiB.
    #[arg(long, env = "SLIPWAY_MAX_CACHE_MB", default_value_t = 20 * 1024)]
    pub max_cache_mb: u64,
    /// Days after which unused build cache is deleted; 0 limits it by size only.
    #[arg(long, env = "SLIPWAY_MAX_CACHE_AGE_DAYS", default_value_t = 30)]
    pub max_cache_age_days: u32,
    /// Memory limit of a job, in MiB; 0 means no limit. It does not apply to steps that BuildKit
    /// runs [default: three quarters of the host's memory].
    #[arg(long, env = "SLIPWAY_JOB_MEMORY_MB")]
    pub job_memory_mb: Option<u64>,
    /// CPU limit of a job, such as 1.5; 0 means no limit. It does not apply to steps that BuildKit
    /// runs.
    #[arg(long, env = "SLIPWAY_JOB_CPUS", default_value_t = 0.0, value_parser = cpu_count)]
    pub job_cpus: f64,
    /// Disk limit of a job with its checkout, in MiB; 0 means no limit. It does not apply to what
    /// the steps of image builds write.
    #[arg(long, env = "SLIPWAY_JOB_DISK_MB", default_value_t = 0)]
    pub job_disk_mb: u64,
}

impl LimitFlags {
    /// The limits of the build cache.
    pub(super) fn cache(&self) -> CacheLimits {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        CacheLimits {
            bytes: self.max_cache_mb.saturating_mul(MIB),
            age: match self.max_cache_age_days {
                0 => None,
                days => Some(DAY * days),
            },
        }
    }

    /// Whether a limit of memory or processors was given, which is then expected to apply.
    pub(super) fn are_given(&self) -> bool {
        self.job_memory_mb.is_some_and(|mib| mib > 0) || self.job_cpus > 0.0
    }

    /// The limits of each job on a host with this memory in bytes, if it is known.
    pub(super) fn job(&self, host_memory: Option<u64>) -> Limits {
        // 0 is "no limit" on the command line and `None` for the builder.
        let bytes = |mib: u64| (mib > 0).then_some(mib.saturating_mul(MIB));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the parser of the flag checks the range"
        )]
        let nano_cpus = (self.job_cpus * 1e9) as u64;
        Limits {
            memory_bytes: match self.job_memory_mb {
                Some(mib) => bytes(mib),
                // A script must not take the memory that the host itself needs.
                None => host_memory.map(|all| all / 4 * 3),
            },
            nano_cpus: (nano_cpus > 0).then_some(nano_cpus),
            disk_bytes: bytes(self.job_disk_mb),
        }
    }
}

/// Logs which limits the engine cannot enforce. `are_given` tells whether the operator set any of
/// memory or processors.
pub(super) fn warn_of_unenforced(builder: &Builder, are_given: bool) {
    let limits = builder.limits();
    // The classic builder runs steps in containers, which have limits; BuildKit does not.
    if are_given && !builder.limits_builds() {
        tracing::warn!(
            "The memory and CPU limits apply to scripts only, not to image builds: BuildKit in a \
             Docker Engine supports no limits"
        );
    }
    if limits.disk_bytes.is_some() {
        tracing::warn!(
            "The disk limit applies to scripts and checkouts only, not to the steps of image builds: \
             the engine does not report what they write"
        );
    }
}

/// Parses a number of CPUs.
fn cpu_count(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(count) if (0.0..=4096.0).contains(&count) => Ok(count),
        _ => Err("expected a number of CPUs from 0 to 4096, such as 1.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        limits: LimitFlags,
    }

    #[test]
    fn jobs_leave_the_host_memory_and_have_no_other_limits_by_default() {
        let flags = Flags::parse_from(["x"]).limits;
        assert_eq!(flags.job(None), Limits::default());
        assert_eq!(flags.job(Some(4 << 30)).memory_bytes, Some(3 << 30));
        assert!(!flags.are_given());
        assert_eq!(flags.cache().age, Some(Duration::from_secs(30 * 86_400)));
        let flags = "x --job-memory-mb 64 --job-cpus 1.5 --job-disk-mb 2 --max-cache-age-days 0";
        let flags = Flags::parse_from(flags.split(' ')).limits;
        assert_eq!(
            flags.job(Some(4 << 30)),
            Limits {
                memory_bytes: Some(64 << 20),
                nano_cpus: Some(1_500_000_000),
                disk_bytes: Some(2 << 20),
            }
        );
        assert!(flags.cache().age.is_none());
        assert!(Flags::try_parse_from(["x", "--job-cpus", "-1"]).is_err());
        assert!(Flags::try_parse_from(["x", "--job-cpus", "NaN"]).is_err());
    }
}
