//! One host's services, from its file: which driver stands behind which resource.

mod dns;
mod drivers;

pub use drivers::{Served, drivers};
