//! Main is lost, by kill or by freeze: from the decision to the first write at the other site, by name.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use chrono::DateTime;
use lab::system::loss::By;
use lab::system::plan::Site;
use lab::system::{Lab, sweep, until, users};

use super::Moved;
use super::stack::ended;

/// As the lab's group has it.
pub(crate) const FENCE_WITHIN_MS: f64 = 7_000.0;
const WITHIN: Duration = Duration::from_secs(60);
/// A runner that has just started takes no acceptance for so long: until no yes of an earlier life can act (law 7).
const YOUNG: Duration = Duration::from_secs(8);

/// `times` failovers, each in a lab of its own.
pub(crate) fn gaps(folder: &Path, by: By, times: usize) -> anyhow::Result<Vec<Moved>> {
    (0..times).map(|_| tokio::task::block_in_place(|| one(folder, by))).collect()
}

fn one(folder: &Path, by: By) -> anyhow::Result<Moved> {
    let mut lab = Lab::up(folder, &mut |_| {})?;
    std::thread::sleep(YOUNG);
    lab.lose_site(Site::Main, by)?;
    let file = lab.plan.writer_file();
    let at = until("the writer writes at the secondary", WITHIN, || {
        let rows = users::acknowledged(&file);
        Ok(rows.iter().find(|row| row.site() == Some(Site::Secondary)).map(|row| row.at))
    })?;
    let view = ended(&lab)?;
    let at = DateTime::from_timestamp_millis(at).context("a time")?;
    let moved = Moved::of(&view, view.started, at)?;
    let folder = lab.plan.folder.clone();
    drop(lab);
    sweep(&folder)?;
    Ok(moved)
}
