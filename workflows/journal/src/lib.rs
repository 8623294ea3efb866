//! The durable record: sled, one writer, hash chains.
