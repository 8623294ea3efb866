//! The shell of every service: NATS micro service, ledger file, locks.
