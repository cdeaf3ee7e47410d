//! The flags that bound what jobs and their leavings take of the host.

use std::time::Duration;

use clap::Args;
use slipway_image_builder::{Builder, Limits};

use crate::docker::CacheLimits;

const MIB: u64 = 1024 * 1024;

/// What bounds jobs and caches.
#[derive(Debug, Args)]
pub struct LimitFlags {
    /// How many MiB of build cache are kept in the engine.
    #[arg(long, env = "SLIPWAY_MAX_CACHE_MB", default_value_t = 20 * 1024)]
    pub max_cache_mb: u64,
    /// After how many days build cache that no build has used goes; 0 keeps it by size alone.
    #[arg(long, env = "SLIPWAY_MAX_CACHE_AGE_DAYS", default_value_t = 30)]
    pub max_cache_age_days: u32,
    /// How many MiB of memory a job may use; 0 for no limit. Steps that BuildKit runs are not
    /// bounded.
    #[arg(long, env = "SLIPWAY_JOB_MEMORY_MB", default_value_t = 0)]
    pub job_memory_mb: u64,
    /// How many processors a job may use, such as 1.5; 0 for no limit. Steps that BuildKit runs
    /// are not bounded.
    #[arg(long, env = "SLIPWAY_JOB_CPUS", default_value_t = 0.0, value_parser = processors)]
    pub job_cpus: f64,
    /// How many MiB a job may write to the disk, with its checkout; 0 for no limit. What the steps
    /// of image builds write is not bounded.
    #[arg(long, env = "SLIPWAY_JOB_DISK_MB", default_value_t = 0)]
    pub job_disk_mb: u64,
}

impl LimitFlags {
    /// What the engine keeps.
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

    /// What a job may use.
    pub(super) fn of_job(&self) -> Limits {
        let bytes = |mib: u64| (mib > 0).then_some(mib.saturating_mul(MIB));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the number of processors was checked"
        )]
        let nano_cpus = (self.job_cpus * 1e9) as u64;
        Limits {
            memory_bytes: bytes(self.job_memory_mb),
            nano_cpus: (nano_cpus > 0).then_some(nano_cpus),
            disk_bytes: bytes(self.job_disk_mb),
        }
    }
}

/// Says once what of the limits the engine cannot see to.
pub(super) fn warn_of_unbounded(builder: &Builder) {
    let limits = builder.limits();
    let has_limits = limits.memory_bytes.is_some() || limits.nano_cpus.is_some();
    if has_limits && !builder.limits_builds() {
        tracing::warn!(
            "Memory and processors of scripts are bounded, those of image builds are not: BuildKit \
             in a Docker Engine takes no limits"
        );
    }
    if limits.disk_bytes.is_some() {
        tracing::warn!(
            "The disk that scripts and checkouts take is bounded, what the steps of image builds \
             write is not: the engine does not tell it apart"
        );
    }
}

/// A number of processors.
fn processors(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(count) if (0.0..=4096.0).contains(&count) => Ok(count),
        _ => Err("a number of processors from 0 to 4096, such as 1.5".to_owned()),
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
    fn nothing_bounds_a_job_unless_it_is_said() {
        let flags = Flags::parse_from(["x"]).limits;
        assert_eq!(flags.of_job(), Limits::default());
        assert_eq!(flags.cache().age, Some(Duration::from_secs(30 * 86_400)));
        let flags = "x --job-memory-mb 64 --job-cpus 1.5 --job-disk-mb 2 --max-cache-age-days 0";
        let flags = Flags::parse_from(flags.split(' ')).limits;
        assert_eq!(
            flags.of_job(),
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
