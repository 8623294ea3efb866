//! A look from outside: whether the services of a site are heard on the bus.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use serde_json::Value;

/// Services beat more often.
const WITHIN: Duration = Duration::from_secs(5);

/// Whom to listen to.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// A NATS server; may be given more than once.
    #[arg(long, required = true)]
    pub nats: Vec<String>,
    /// First part of all subjects.
    #[arg(long, default_value = "pointsman")]
    pub prefix: String,
    /// Whose services.
    #[arg(long)]
    pub site: String,
}

/// Returns with the first beat of a service of the site.
///
/// # Errors
///
/// When none came within 5 s, or the bus does not answer.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let heard = async {
        let bus = async_nats::connect(&options.nats).await?;
        let mut beats = bus.subscribe(format!("{}.runner.svc.beat", options.prefix)).await?;
        while let Some(message) = beats.next().await {
            let beat: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
            let mut resources = beat["resources"].as_array().into_iter().flatten();
            if resources.any(|resource| resource["site"] == options.site.as_str()) {
                return anyhow::Ok(());
            }
        }
        bail!("the bus is gone")
    };
    let site = &options.site;
    tokio::time::timeout(WITHIN, heard)
        .await
        .with_context(|| format!("nothing of {site} was heard within {WITHIN:?}"))?
}
