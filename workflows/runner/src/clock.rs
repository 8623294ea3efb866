//! The one place that reads the clocks.

use std::time::Duration;

use runner_core::Now;

/// Both clocks, now. The boot-time clock counts on while the host sleeps.
pub(crate) fn now() -> Now {
    Now { wall: chrono::Utc::now(), boot: boot() }
}

/// The boot-time clock.
pub(crate) fn boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
