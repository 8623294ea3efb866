//! The one place that reads the clocks.

use std::time::Duration;

use service_core::Now;

/// Both clocks, now.
pub(crate) fn now() -> Now {
    Now { wall: chrono::Utc::now(), boot: boot() }
}

/// The boot-time clock: it counts a suspended host's time too, and nobody sets it.
pub(crate) fn boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
