//! BIND as a recursive cache, which a script may flush.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Bind, BindOptions};
use crate::port::Port;
use crate::process::write_file;

impl Bind {
    /// Starts a cache that asks these servers for everything, and returns once it answers for the zone.
    ///
    /// # Errors
    ///
    /// As [`Bind::start`].
    pub fn start_cache(options: &BindOptions, above: &[SocketAddr]) -> anyhow::Result<Self> {
        let mut cache = Self::prepare(options, Port::take(options.address)?)?;
        let control = Port::take(options.address)?;
        let forwarders: String = above.iter().map(|at| format!("{} port {}; ", at.ip(), at.port())).collect();
        let key = format!("key \"rndc\" {{ algorithm hmac-sha256; secret \"{}\"; }};\n", cache.key_secret);
        let (folder, ip, port) = (cache.folder.path().display(), cache.at.ip(), cache.port());
        let text = format!(
            r#"options {{
  directory "{folder}";
  listen-on port {port} {{ {ip}; }};
  listen-on-v6 {{ none; }};
  pid-file none;
  session-keyfile "{folder}/session.key";
  recursion yes;
  allow-recursion {{ 127.0.0.0/8; }};
  dnssec-validation no;
  empty-zones-enable no;
  max-ncache-ttl 1;
  max-cache-size 4M;
  forward only;
  forwarders {{ {forwarders}}};
}};
{key}controls {{ inet {ip} port {control} allow {{ 127.0.0.0/8; }} keys {{ "rndc"; }}; }};
"#,
            control = control.number(),
        );
        let rndc = format!(
            "{key}options {{ default-key \"rndc\"; default-server {ip}; default-port {}; }};\n",
            control.number(),
        );
        write_file(&cache.folder.join("named.conf"), &text)?;
        write_file(&cache.rndc_file(), &rndc)?;
        cache._control = Some(control);
        cache.restart()?;
        Ok(cache)
    }

    /// With which file `rndc` reaches it, if it is a cache.
    #[must_use]
    pub fn rndc_file(&self) -> PathBuf {
        self.folder.join("rndc.conf")
    }
}
