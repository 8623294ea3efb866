//! One case: users at work, main lost, the runner killed on the way, users served again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use rustix::process::Signal;
use schemas::view::{RunState, RunView};

use super::chance::Chance;
use super::kills::{self, Fired, Killer, Part};
use super::print;
use super::report::{self, Case, Woken};
use crate::standin::now_ms;
use crate::system::loss::By;
use crate::system::plan::{NAMES, Site};
use crate::system::{Lab, databases, marked, until, until_every, users};

const USERS_WITHIN: Duration = Duration::from_secs(30);
const RUN_WITHIN: Duration = Duration::from_secs(90);
const PAID_WITHIN: Duration = Duration::from_secs(40);
const WATCHED_FOR: Duration = Duration::from_secs(3);
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// An answer that was sent before the freeze may be read and noted a moment after it.
const ON_ITS_WAY_MS: i64 = 500;
/// Far beyond the writer's numbers.
const THROUGH_PROXY: i64 = 900_000_001;

/// Loses main and watches what follows. Answers also what was not as it should be.
///
/// # Errors
///
/// When the case cannot be carried on: then there is nothing to report.
pub fn lose_main(
    lab: &mut Lab,
    by: By,
    chance: &mut Chance,
    seed: u64,
) -> anyhow::Result<(Case, Vec<String>)> {
    let mut wrong = Vec::new();
    users_at_work(lab)?;
    pause_replication(lab)?;
    let runner = lab.runner_pid().ok_or_else(|| anyhow!("the runner does not run"))?;
    let shots = kills::draw(chance)?;
    let killer = Killer::start(lab.bus.urls().remove(2), shots.clone(), runner)?;
    lab.lose_site(Site::Main, by)?;
    let lost_at = now_ms();
    println!("   main is lost ({by}); the prober, the runner and the services do the rest");
    let (view, fired) = follow(lab, Some(&killer), shots.len())?;
    users_served(lab, &mut wrong)?;
    let woken = if by == By::Freeze { Some(wake(lab, lost_at, &mut wrong)?) } else { None };
    let case = judge(lab, &view, &fired, seed, woken, &mut wrong)?;
    print::case(&case, &view);
    let status = lab.status()?;
    println!("   {}", status.sentence);
    for debt in &status.debts {
        println!("   owed: {} of {} ({})", debt.what, debt.address, debt.why);
    }
    Ok((case, wrong))
}

/// Waits until the writer and the readers are at work, and no read has failed.
///
/// # Errors
///
/// When they are not, or one has.
pub fn users_at_work(lab: &Lab) -> anyhow::Result<()> {
    until("the writer and the readers are at work", USERS_WITHIN, || {
        let rows = users::acknowledged(&lab.plan.writer_file()).len();
        let mut reads =
            Site::ALL.map(|site| users::reads(&lab.plan.reader_file(site)).unwrap_or_default()).into_iter();
        Ok((rows > 100 && reads.all(|reads| reads.reads > 50)).then_some(()))
    })?;
    for site in Site::ALL {
        let reads = users::reads(&lab.plan.reader_file(site)).unwrap_or_default();
        if reads.failed > 0 {
            bail!("{} reads at {} failed before anything was lost", reads.failed, site.name());
        }
    }
    Ok(())
}

/// Stops the process that sends main's changes, as a link that stalls does, until rows are acknowledged that
/// the secondary does not have.
///
/// # Errors
///
/// When nobody sends, or nobody writes.
pub fn pause_replication(lab: &Lab) -> anyhow::Result<()> {
    let sender = databases::sender(&lab.postgres[0], "lab_config_fwd")?;
    marked::signal(&[sender], Signal::STOP);
    let before = users::acknowledged(&lab.plan.writer_file()).len();
    until("rows are acknowledged that the secondary does not have", USERS_WITHIN, || {
        Ok((users::acknowledged(&lab.plan.writer_file()).len() > before + 20).then_some(()))
    })?;
    println!("   forward replication is paused; rows go on being acknowledged at main");
    Ok(())
}

/// Waits until the newest run has ended, starting the runner again each time that it was killed.
///
/// # Errors
///
/// When the run is held, does not end, or the runner was not killed as often as it was to be.
pub fn follow(lab: &mut Lab, killer: Option<&Killer>, kills: usize) -> anyhow::Result<(RunView, Vec<Fired>)> {
    let mut fired: Vec<Fired> = Vec::new();
    let mut shown = Instant::now();
    let mut waits = Waits::default();
    until("the run has ended", RUN_WITHIN, || {
        if let Some((killer, one)) = killer.and_then(|killer| Some((killer, killer.fired()?))) {
            lab.kill_runner()?; // Its children, too.
            killer.aim(lab.start_runner()?);
            println!("   runner killed {}, and started again", one.shot);
            fired.push(one);
        }
        if shown.elapsed() < SHOW_EVERY {
            return Ok(None);
        }
        shown = Instant::now();
        let Some(run) = lab.newest_run()? else { return Err(anyhow!("no run yet")) };
        let view = lab.show(&run.id.to_string())?;
        if view.state.ended() {
            return Ok(Some(Ok(view)));
        }
        if matches!(view.state, RunState::Held | RunState::Paused) {
            return Ok(Some(Err(anyhow!("the run is held: {}", view.waits_for.join("; ")))));
        }
        for wait in waits.lasting(&view.waits_for) {
            println!("   the run waits: {wait}");
        }
        Err(anyhow!(
            "run {} is {:?}, {} steps, waits for {:?}",
            run.id,
            view.state,
            view.steps.len(),
            view.waits_for
        ))
    })
    .and_then(|ended| ended)
    .and_then(|view| match fired.len() == kills {
        true => Ok((view, fired)),
        false => Err(anyhow!("the runner was killed {} times, not {kills}", fired.len())),
    })
}

/// What a run was seen to wait for, without numbers: a wait counts down.
#[derive(Default)]
struct Waits {
    seen: BTreeSet<String>,
    told: BTreeSet<String>,
}

impl Waits {
    /// Those that were seen before and are told for the first time now: what is over at the next look held nobody up.
    fn lasting<'w>(&mut self, now: &'w [String]) -> Vec<&'w str> {
        let bare = |wait: &str| wait.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        let before = std::mem::replace(&mut self.seen, now.iter().map(|wait| bare(wait)).collect());
        let lasts = |wait: &&String| before.contains(&bare(wait)) && self.told.insert(bare(wait));
        now.iter().filter(lasts).map(String::as_str).collect()
    }
}

/// What users must have again, and what an outsider sees in DNS and database.
fn users_served(lab: &Lab, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let to = Site::Secondary;
    until("the writer writes at the secondary", USERS_WITHIN, || {
        let rows = users::acknowledged(&lab.plan.writer_file());
        Ok((rows.iter().filter(|row| row.site() == Some(to)).count() > 20).then_some(()))
    })?;
    for (name, last) in NAMES.into_iter().zip([3, 4]) {
        let found = lab.bind.lookup(name)?;
        if found != [to.ip(last)] {
            wrong.push(format!("{name} points at {found:?}"));
        }
    }
    let normal = format!("normal {}", to.ip(3));
    until("the proxy has left limited mode", USERS_WITHIN, || {
        let mode = lab.ask_proxy(to, "MODE")?;
        if mode == normal { Ok(Some(())) } else { Err(anyhow!("{mode}")) }
    })?;
    let said = lab.ask_proxy(to, &format!("WRITE {THROUGH_PROXY} through the proxy"))?;
    let sql = format!("SELECT text FROM entry WHERE n = {THROUGH_PROXY}");
    let found = lab.postgres[to.index()].psql("config", &sql)?;
    if said != format!("OK {THROUGH_PROXY}") || found != "through the proxy" {
        wrong.push(format!("a write through the proxy: `{said}`, and in the database `{found}`"));
    }
    Ok(())
}

/// Main wakes up: it is to be closed before anybody is acknowledged a write there, and to stay so.
fn wake(lab: &mut Lab, frozen_at: i64, wrong: &mut Vec<String>) -> anyhow::Result<Woken> {
    lab.return_site(Site::Main)?;
    let woke = Instant::now();
    until("main is closed", PAID_WITHIN, || Ok(is_closed(lab)?.then_some(())))?;
    let closed_after_ms = elapsed(woke);
    until_every(SHOW_EVERY, "nothing is owed", PAID_WITHIN, || {
        let status = lab.status()?;
        if status.debts.is_empty() && status.doubts.is_empty() {
            return Ok(Some(()));
        }
        let owed = status
            .debts
            .iter()
            .chain(&status.doubts)
            .map(|debt| format!("{} of {}", debt.what, debt.address));
        Err(anyhow!("owed: {}", owed.collect::<Vec<_>>().join(", ")))
    })?;
    let debts_paid_after_ms = elapsed(woke);
    let watched = Instant::now();
    while watched.elapsed() < WATCHED_FOR {
        if !is_closed(lab)? {
            bail!("main is open again");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let late =
        |row: &&users::Acknowledged| row.site() == Some(Site::Main) && row.at > frozen_at + ON_ITS_WAY_MS;
    let acknowledged = users::acknowledged(&lab.plan.writer_file()).iter().filter(late).count() as u64;
    if acknowledged > 0 {
        wrong.push(format!("{acknowledged} writes were acknowledged at main after the freeze"));
    }
    let sql = format!(
        "SELECT count(*) FROM entry WHERE pg_xact_commit_timestamp(xmin) > to_timestamp({frozen_at} / 1000.0)"
    );
    let committed = lab.postgres[0].psql("config", &sql)?.parse()?;
    let stayed_closed_ms = elapsed(watched);
    Ok(Woken { acknowledged, committed, closed_after_ms, debts_paid_after_ms, stayed_closed_ms })
}

/// Whether nobody can write at main: neither log in, nor has the grants, nor a session.
fn is_closed(lab: &Lab) -> anyhow::Result<bool> {
    let sql = "SELECT NOT (SELECT rolcanlogin FROM pg_roles WHERE rolname = 'cfg_db')
                 AND NOT has_table_privilege('cfg_db', 'entry', 'INSERT')
                 AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'cfg_db')";
    Ok(lab.postgres[0].psql("config", sql)? == "t")
}

fn elapsed(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}

fn judge(
    lab: &Lab,
    view: &RunView,
    fired: &[Fired],
    seed: u64,
    woken: Option<Woken>,
    wrong: &mut Vec<String>,
) -> anyhow::Result<Case> {
    let (run, steps, phases) = report::run(view);
    if run.state != RunState::Completed {
        wrong.push(format!("the run ended as {:?}", run.state));
    }
    let rows = users::acknowledged(&lab.plan.writer_file());
    let there = lab.postgres[Site::Secondary.index()].psql("config", "SELECT n FROM entry")?;
    let there: BTreeSet<i64> = there.lines().filter_map(|line| line.parse().ok()).collect();
    let rows_lost =
        rows.iter().filter(|row| row.site() == Some(Site::Main) && !there.contains(&row.n)).count();
    if rows_lost == 0 {
        wrong.push("no row was lost, although replication was paused".to_owned());
    }
    let kept =
        rows.iter().filter(|row| row.site() == Some(Site::Secondary)).all(|row| there.contains(&row.n));
    if !kept {
        wrong.push("a row that the secondary acknowledged is not there".to_owned());
    }
    let write_gap_ms = users::write_gap(&rows, Site::Main, Site::Secondary).unwrap_or(-1);
    let reads = users::reads(&lab.plan.reader_file(Site::Secondary)).unwrap_or_default();
    if reads.failed > 0 {
        wrong.push(format!("{} reads through the surviving proxy failed", reads.failed));
    }
    let kills: Vec<report::Kill> = fired.iter().map(|one| report::kill(one, view)).collect();
    for part in [Part::Request, Part::Opening] {
        if !kills.iter().any(|kill| kill.part == part && kill.in_doubt.is_some()) {
            wrong.push(format!("no kill of the runner left a step in doubt ({part:?})"));
        }
    }
    Ok(Case {
        run,
        steps,
        phases,
        write_gap_ms,
        rows_lost: rows_lost as u64,
        reads_failed: reads.failed,
        reads: reads.reads,
        runner_kills: kills.len(),
        kills,
        seed,
        woken,
    })
}
