//! A resolver with a cache that keeps what it learnt for the TTL, as clients' resolvers do.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::lookup::lookup;

const WAIT: Duration = Duration::from_millis(500);

/// Asks the given servers, the first one that answers; keeps answers for their TTL.
#[derive(Debug)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    cache: Mutex<BTreeMap<String, (IpAddr, Instant)>>,
}

impl Resolver {
    /// A resolver with an empty cache.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, cache: Mutex::new(BTreeMap::new()) }
    }

    /// The address of `name`, from the cache while it is valid.
    ///
    /// # Errors
    ///
    /// When no server answers, or the name has no address.
    pub async fn resolve(&self, name: &str) -> anyhow::Result<IpAddr> {
        let kept = self.cache.lock().map_err(|_| anyhow!("cache"))?.get(name).copied();
        if let Some((address, until)) = kept
            && Instant::now() < until
        {
            return Ok(address);
        }
        let (servers, asked) = (self.servers.clone(), name.to_owned());
        let answer = tokio::task::spawn_blocking(move || ask_any(&servers, &asked)).await??;
        let address = *answer.addresses.first().with_context(|| format!("`{name}` has no address"))?;
        let until = Instant::now() + answer.ttl;
        self.cache.lock().map_err(|_| anyhow!("cache"))?.insert(name.into(), (address, until));
        Ok(address)
    }

    /// Forgets everything.
    pub fn flush(&self) {
        if let Ok(mut cache) = self.cache.lock() {
            cache.clear();
        }
    }
}

fn ask_any(servers: &[SocketAddr], name: &str) -> anyhow::Result<crate::lookup::Answer> {
    let mut last = anyhow!("no DNS server given");
    for server in servers {
        match lookup(*server, name, WAIT) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}
