//! The runner's shell: bus, clock, timers, outbox.
