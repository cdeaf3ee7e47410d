//! Limits the total rate of what many clients may want at once, so that all others keep enough of the
//! machine.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What a piece costs besides its bytes, in bytes.
const PIECE_COST: u64 = 8 << 10;
/// How far ahead of its time a turn may begin: less than timers can resolve.
const TOLERANCE: Duration = Duration::from_millis(1);

/// Hands out turns, one after the other, in the order in which they were asked for.
#[derive(Debug)]
pub struct Pace {
    bytes_per_s: u64,
    /// When the next turn begins; in the past while nobody waits.
    next: Mutex<Instant>,
}

impl Pace {
    /// A pace for all who share it, in bytes per second.
    pub fn new(bytes_per_s: u64) -> Self {
        Self {
            bytes_per_s: bytes_per_s.max(1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for a turn that is worth `bytes`.
    pub async fn wait_for_turn(&self, bytes: u64) {
        let now = Instant::now();
        let at = self.take(now, bytes);
        if at > now + TOLERANCE {
            sleep_until(at).await;
        }
    }

    fn take(&self, now: Instant, bytes: u64) -> Instant {
        let cost = (bytes + PIECE_COST) as f64 / self.bytes_per_s as f64;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        // Unused time is lost: after a quiet hour, not all may have their turns at once.
        let at = now.max(*next);
        *next = at + Duration::from_secs_f64(cost);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_each_other_and_unused_time_is_not_saved() {
        let second = Duration::from_secs(1);
        let pace = Pace::new(1 << 20);
        let now = Instant::now() + 10 * second;
        let bytes = (1 << 20) - PIECE_COST;
        let turns = [(); 3].map(|()| pace.take(now, bytes));
        assert_eq!(turns, [now, now + second, now + 2 * second]);
    }
}
