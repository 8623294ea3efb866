//! One host's services, from its file: which driver stands behind which resource.

mod dns;
mod drivers;
mod returned;
mod serve;

pub use drivers::{Served, drivers};
pub use returned::Tell;
pub use serve::{HostError, bus_files, serve};
