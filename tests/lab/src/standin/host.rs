//! What an operator's scripts on a proxy host do: push new names, and say what is in use there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};

use super::line::Lines;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What of the host uses names.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The host's resolver.
    #[arg(long)]
    pub resolver: SocketAddr,
    /// A proxy; may be given more than once.
    #[arg(long)]
    pub proxy: Vec<SocketAddr>,
}

/// Empties the resolver's cache, then makes each proxy let go of a master to whom the names lead no more.
///
/// # Errors
///
/// When one of them does not do so. A proxy that does not run holds nothing.
pub async fn push(options: &Options) -> anyhow::Result<()> {
    let said = ask(options.resolver, "FLUSH").await?.context("the resolver does not run")?;
    if said != "OK flushed" {
        bail!("{}: {said}", options.resolver);
    }
    for proxy in &options.proxy {
        if let Some(said) = ask(*proxy, "LETGO").await?.filter(|said| said != "OK") {
            bail!("{proxy}: {said}");
        }
    }
    Ok(())
}

/// What the host resolves a name to, and whom its proxies are connected to by that name.
///
/// # Errors
///
/// When one of them does not say.
pub async fn resolved(options: &Options, name: &str) -> anyhow::Result<Vec<IpAddr>> {
    let said =
        ask(options.resolver, &format!("RESOLVE {name}")).await?.context("the resolver does not run")?;
    let mut all = vec![address(&said)?];
    for proxy in &options.proxy {
        match ask(*proxy, &format!("PEER {name}")).await?.as_deref() {
            None | Some("NONE") => {}
            Some(said) => all.push(address(said)?),
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

fn address(said: &str) -> anyhow::Result<IpAddr> {
    let text = said.strip_prefix("ADDRESS ").with_context(|| format!("it said `{said}`"))?;
    Ok(text.parse()?)
}

/// None where nobody listens.
async fn ask(at: SocketAddr, line: &str) -> anyhow::Result<Option<String>> {
    let mut lines = match Lines::connect(at, ANSWER_WITHIN).await {
        Err(error) if is_refusal(&error) => return Ok(None),
        other => other.with_context(|| format!("connect to {at}"))?,
    };
    lines.ask(line, ANSWER_WITHIN).await.map(Some).with_context(|| format!("ask {at}"))
}

/// Whether nobody listens there: silence is another thing.
#[must_use]
pub fn is_refusal(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::ConnectionRefused)
}
