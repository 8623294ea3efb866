//! Free ports that stay ours, also while our server is down.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, bail};

/// Below the kernel's range for outgoing connections, so that none of those takes one.
const FIRST: u16 = 15_000;
const LAST: u16 = 31_999;

/// A port of one loopback address that no other fixture of this machine has.
///
/// Kept by a file lock until this is dropped: a server may be killed and started again on it.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a port on which neither TCP nor UDP of `address` is in use.
    ///
    /// # Errors
    ///
    /// When `address` is not an address of this machine, or all ports are taken.
    pub fn take(address: IpAddr) -> anyhow::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let span = u32::from(LAST - FIRST);
        let start = std::process::id().wrapping_mul(97) % span;
        TcpListener::bind(SocketAddr::new(address, 0))
            .with_context(|| format!("{address} is not an address of this machine"))?;
        for _ in 0..span {
            let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            let number = FIRST + u16::try_from((start + step) % span).unwrap_or_default();
            if let Some(port) = Self::try_take(address, number)? {
                return Ok(port);
            }
        }
        bail!("no free port on {address}");
    }

    /// Takes a port that is free on each of `addresses`, so that a name may move between them.
    ///
    /// # Errors
    ///
    /// As [`Port::take`].
    pub fn take_on_all(addresses: &[IpAddr]) -> anyhow::Result<Self> {
        let first = *addresses.first().context("no address")?;
        let mut tried = Vec::new(); // Kept, so that each try is another one.
        for _ in 0..100 {
            let port = Self::take(first)?;
            if addresses.iter().all(|address| is_free(*address, port.number)) {
                return Ok(port);
            }
            tried.push(port);
        }
        bail!("no port is free on all of {addresses:?}");
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    fn try_take(address: IpAddr, number: u16) -> anyhow::Result<Option<Self>> {
        let folder = std::env::temp_dir().join("pointsman-lab-ports");
        if fs::create_dir(&folder).is_ok() {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777))?;
        }
        let Ok(lock) = File::create(folder.join(format!("{number}"))) else {
            return Ok(None); // Another user's lock file.
        };
        if lock.try_lock().is_err() {
            return Ok(None);
        }
        Ok(is_free(address, number).then_some(Self { number, _lock: lock }))
    }
}

fn is_free(address: IpAddr, number: u16) -> bool {
    let at = SocketAddr::new(address, number);
    TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
}
