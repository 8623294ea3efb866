//! The whole model system on the lab: a client of each proxy, and how long none of them could write.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use chrono::Utc;
use lab::system::plan::{GROUP, PROXIES, Site};
use lab::system::{Lab, sweep, until_every};
use schemas::view::RunView;

use super::Moved;
use super::client::Acks;

const WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Each of `times` switchovers, there and back in turn.
pub(crate) async fn gaps(folder: &Path, times: usize) -> anyhow::Result<Vec<Moved>> {
    let lab = Lab::up(folder, &mut |_| {})?;
    let mut proxies = Vec::new();
    for site in Site::ALL {
        for proxy in PROXIES {
            proxies.push(lab.plan.at_named(site, proxy)?);
        }
    }
    let acks = Acks::of_proxies(&proxies);
    let mut all = Vec::new();
    for turn in 0..times {
        let to = if turn % 2 == 0 { Site::Secondary } else { Site::Main };
        acks.at_work().await?;
        let since = Utc::now();
        // It follows its run: another program started meanwhile would be felt in the gap.
        let words = ["switchover", GROUP, "--to", to.name(), "--yes", "--why", "a benchmark"];
        tokio::task::block_in_place(|| lab.pointsman.text(&lab.desk(), &words))?;
        let view = tokio::task::block_in_place(|| ended(&lab))?;
        acks.at_work().await?;
        let (from, to) = acks.gap(since)?;
        all.push(Moved::of(&view, from, to)?);
    }
    let folder = lab.plan.folder.clone();
    drop((acks, lab));
    sweep(&folder)?;
    Ok(all)
}

/// The newest run, when it has ended.
pub(super) fn ended(lab: &Lab) -> anyhow::Result<RunView> {
    until_every(LOOK_EVERY, "the run has ended", WITHIN, || {
        let Some(run) = lab.newest_run()? else { bail!("no run yet") };
        let view = lab.show(&run.id.to_string())?;
        Ok(view.state.ended().then_some(view))
    })
}
