//! One round: each leg is started as a person or monitoring starts it, killed as drawn, and judged.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use schemas::RunId;
use schemas::view::{Mode, RunState, RunView};

use super::draw::{self, Victim};
use super::hunt::{Fired, Hunt};
use super::leg::Leg;
use super::report::{self, Row, Run};
use super::watch::Proxies;
use crate::demo::case;
use crate::demo::chance::Chance;
use crate::standin::now_ms;
use crate::system::loss::By;
use crate::system::plan::{GROUP, PROCESSES, Site};
use crate::system::{Lab, STATUS_EVERY, equal, until, until_every, users};

/// For what takes moments on an idle machine.
pub(super) const WITHIN: Duration = Duration::from_secs(60);
const RUN_WITHIN: Duration = Duration::from_secs(150);
/// So many kills a leg has at least, and of those that were done half inside steps of databases.
const KILLS: usize = 10;
const SHOW_EVERY: Duration = Duration::from_millis(400);

/// What goes on over all legs.
pub(super) struct Cycle {
    proxies: Proxies,
    legs: Vec<Row>,
    /// Rows that were acknowledged and are lost, known as such.
    lost: BTreeSet<i64>,
    /// Those of the latest failover.
    lost_last: BTreeSet<i64>,
    /// When the round began, as the writer notes times: what got no answer before is in no ledger of it.
    since: i64,
    ledgers: BTreeSet<PathBuf>,
    newest: Option<RunId>,
    reads: [users::Reads; 2],
    wrong: Vec<String>,
}

/// What was lost in a leg, and what a ledger of it has.
struct Lost {
    rows: BTreeSet<i64>,
    ledger: Option<(usize, usize)>,
}

impl Cycle {
    pub(super) fn begin(lab: &Lab) -> anyhow::Result<Cycle> {
        case::users_at_work(lab)?;
        let newest = lab.newest_run()?.map(|run| run.id);
        Ok(Cycle {
            proxies: Proxies::watch(lab)?,
            legs: Vec::new(),
            lost: BTreeSet::new(),
            lost_last: BTreeSet::new(),
            since: 0,
            ledgers: BTreeSet::new(),
            newest,
            reads: Default::default(),
            wrong: Vec::new(),
        })
    }

    pub(super) fn done(self) -> (Vec<Row>, Vec<String>) {
        (self.legs, self.wrong)
    }

    pub(super) fn lost(&self) -> usize {
        self.lost.len()
    }

    /// Each row that was acknowledged and is not known to be lost is at both sites.
    pub(super) fn all_there(&self, lab: &Lab) -> anyhow::Result<bool> {
        let mut missing = BTreeSet::new();
        for site in Site::ALL {
            missing.extend(self.missing(lab, site)?);
        }
        if missing.is_empty() { Ok(true) } else { Err(anyhow!("missing: {missing:?}")) }
    }

    pub(super) fn round(&mut self, lab: &mut Lab, round: usize, chance: &mut Chance) -> anyhow::Result<()> {
        for leg in Leg::CYCLE {
            println!("\n== round {round}: {}", leg.name());
            let shots = draw::draw(leg, chance)?;
            match leg {
                Leg::Failover if round > 1 => {
                    let words = ["ack", GROUP, "--why", "the first round went well"];
                    lab.pointsman.text(&lab.desk(), &words)?;
                }
                Leg::Copy => self.main_returns(lab)?,
                _ => {}
            }
            if leg == Leg::Failover {
                self.since = now_ms();
                case::pause_replication(lab)?;
            }
            let hunt = Hunt::start(lab, shots)?;
            let began = now_ms();
            self.note_reads(lab);
            let _ = self.proxies.longest();
            self.start(lab, leg)?;
            let (view, fired) = self.follow(lab, hunt)?;
            self.served(lab, leg)?;
            let lost = self.judge_rows(lab, leg)?;
            self.note(lab, round, leg, began, &view, &fired, lost)?;
            if leg == Leg::Failback {
                self.tidy(lab)?;
            }
        }
        Ok(())
    }

    fn start(&self, lab: &mut Lab, leg: Leg) -> anyhow::Result<()> {
        let move_to = |workflow: &'static str, to: Site| {
            vec![workflow, GROUP, "--to", to.name(), "--yes", "--detach", "--why", "the demonstration"]
        };
        let words = match leg {
            Leg::Failover => return lab.lose_site(Site::Main, By::Kill),
            // What it overwrites has to be named by hand.
            Leg::Copy => vec!["reprotect", GROUP, "--by", "copy", "--detach", "--why", "main is back"],
            Leg::CatchUp => vec!["reprotect", GROUP, "--yes", "--detach", "--why", "the demonstration"],
            Leg::Switchover => move_to("switchover", Site::Secondary),
            Leg::Failback | Leg::FailbackAgain => move_to("failback", Site::Main),
        };
        until_every(STATUS_EVERY, &format!("{} starts", leg.name()), WITHIN, || {
            let asked = match leg {
                Leg::Copy => lab.pointsman.typed(&lab.desk(), &words, Site::Main.name()),
                _ => lab.pointsman.text(&lab.desk(), &words),
            };
            match asked {
                Ok(_) => Ok(Some(Ok(()))),
                // On a busy machine a service may not answer in time what would stand in the way.
                Err(error) if format!("{error:#}").contains("red-precondition") => {
                    println!("   refused, a precondition is red; asked again");
                    Err(error)
                }
                Err(error) => Ok(Some(Err(error))),
            }
        })?
    }

    /// Waits until the leg's run has ended; whoever is killed is started again, as a supervisor does.
    fn follow(&mut self, lab: &mut Lab, hunt: Hunt) -> anyhow::Result<(RunView, Vec<Fired>)> {
        let mut fired: Vec<Fired> = Vec::new();
        let mut shown = Instant::now();
        let newest = self.newest;
        let view = until("the run has ended", RUN_WITHIN, || {
            if let Some(one) = hunt.fired() {
                let victim = one.shot.victim;
                fired.push(one);
                return match restart(lab, victim) {
                    Ok(pid) => {
                        hunt.runs(victim, pid);
                        Ok(None)
                    }
                    Err(error) => Ok(Some(Err(error))),
                };
            }
            if shown.elapsed() < SHOW_EVERY {
                return Ok(None);
            }
            shown = Instant::now();
            let run = lab.newest_run()?.filter(|run| Some(run.id) != newest);
            let Some(run) = run else { return Err(anyhow!("no run yet")) };
            let view = lab.show(&run.id.to_string())?;
            if view.state.ended() {
                return Ok(Some(Ok(view)));
            }
            let open: Vec<&str> = view
                .steps
                .iter()
                .filter(|step| step.ended.is_none())
                .map(|step| step.name.as_str())
                .collect();
            let now =
                format!("run {} is {:?} in {open:?}, {}", run.id, view.state, view.waits_for.join("; "));
            match view.state {
                RunState::Held | RunState::Paused => Ok(Some(Err(anyhow!("{now}")))),
                _ => Err(anyhow!("{now}")),
            }
        })??;
        for one in hunt.end() {
            restart(lab, one.shot.victim)?;
            fired.push(one);
        }
        self.newest = Some(view.id);
        Ok((view, fired))
    }

    /// What has to be so after a leg, at the latest when all that is owed is paid.
    fn served(&mut self, lab: &Lab, leg: Leg) -> anyhow::Result<()> {
        let live = leg.live();
        let before = users::acknowledged(&lab.plan.writer_file()).len();
        until(&format!("the writer writes at {}", live.name()), WITHIN, || {
            let rows = users::acknowledged(&lab.plan.writer_file());
            let fresh = rows.iter().skip(before).filter(|row| row.site() == Some(live)).count();
            Ok((fresh > 20).then_some(()))
        })?;
        if leg != Leg::Failover {
            nothing_owed(lab)?;
        }
        until_every(STATUS_EVERY, &format!("{} is live, and nothing else", live.name()), WITHIN, || {
            let mut wrong = lab.not_live_at(live)?;
            wrong.extend(lab.not_served_by(live));
            if wrong.is_empty() { Ok(Some(())) } else { Err(anyhow!("{}", wrong.join("; "))) }
        })?;
        let (mode, sentence) = match leg {
            Leg::Failover => (Mode::FailedOver, ""),
            Leg::Copy | Leg::CatchUp | Leg::Switchover => (Mode::Normal, "pointsman failback"),
            Leg::Failback | Leg::FailbackAgain => (Mode::Normal, "main is live, protected"),
        };
        until_every(STATUS_EVERY, &format!("the mode is {mode:?}"), WITHIN, || {
            let status = lab.status()?;
            let fits = status.mode == mode
                && status.sentence.contains(sentence)
                && !status.sentence.starts_with("nothing of ");
            if fits { Ok(Some(())) } else { Err(anyhow!("{:?}: {}", status.mode, status.sentence)) }
        })
    }

    /// Main boots, is closed, and stays so.
    fn main_returns(&self, lab: &mut Lab) -> anyhow::Result<()> {
        lab.return_site(Site::Main)?;
        nothing_owed(lab)?;
        if lab.is_open(Site::Main)? {
            bail!("main is open after it came back");
        }
        for process in PROCESSES.iter().filter(|process| process.live_only) {
            if lab.running(Site::Main, process.name) > 0 {
                bail!("{} runs at main after it came back", process.name);
            }
        }
        lab.start_reader(Site::Main)?;
        println!("   main is back, closed and quiet; its readers read again");
        Ok(())
    }

    /// What the copy kept aside is dropped: a second one would be refused.
    fn tidy(&mut self, lab: &mut Lab) -> anyhow::Result<()> {
        let why = "the ledger is worked through";
        let words = ["cleanup", GROUP, "--drop", Site::Main.name(), "--detach", "--why", why];
        lab.pointsman.text(&lab.desk(), &words)?;
        let (view, _) = self.follow(lab, Hunt::start(lab, Vec::new())?)?;
        if view.state != RunState::Completed {
            bail!("cleanup ended as {:?}", view.state);
        }
        println!("   what the copy kept aside is dropped");
        Ok(())
    }

    /// Rows that were acknowledged, are not at a site, and are not known to be lost.
    fn missing(&self, lab: &Lab, site: Site) -> anyhow::Result<BTreeSet<i64>> {
        let rows = users::acknowledged(&lab.plan.writer_file());
        let there = lab.numbers(site)?;
        let missing = rows.iter().map(|row| row.n).filter(|n| !there.contains(n) && !self.lost.contains(n));
        Ok(missing.collect())
    }

    /// What a leg lost, and, after the copy, whether the ledger has just that.
    fn judge_rows(&mut self, lab: &Lab, leg: Leg) -> anyhow::Result<Lost> {
        let rows = self.missing(lab, leg.live())?;
        match leg {
            Leg::Failover if rows.is_empty() => {
                self.wrong.push("failover: no row was lost, although replication was paused".to_owned());
            }
            Leg::Failover => self.lost_last.clone_from(&rows),
            _ if rows.is_empty() => {}
            _ => self.wrong.push(format!("{}: {} rows are lost: {rows:?}", leg.name(), rows.len())),
        }
        self.lost.extend(&rows);
        let ledger = if leg == Leg::Copy { Some(self.judge_ledger(lab)?) } else { None };
        Ok(Lost { rows, ledger })
    }

    fn judge_ledger(&mut self, lab: &Lab) -> anyhow::Result<(usize, usize)> {
        let all = lab.ledgers(Site::Main)?;
        let new: Vec<&PathBuf> = all.difference(&self.ledgers).collect();
        let [ledger] = new.as_slice() else { bail!("one new ledger is wanted: {new:?}") };
        let text = std::fs::read_to_string(ledger)?;
        let unanswered = users::unanswered(&lab.plan.writer_file());
        let of_round = unanswered.iter().filter(|row| row.at >= self.since && row.site() == Some(Site::Main));
        let unanswered: BTreeSet<i64> = of_round.map(|row| row.n).collect();
        let judged = equal::judge_ledger(&text, &self.lost_last, &unanswered)?;
        self.wrong.extend(judged.wrong);
        self.ledgers = all;
        Ok((judged.rows, judged.unanswered))
    }

    fn note_reads(&mut self, lab: &Lab) -> users::Reads {
        let mut sum = users::Reads::default();
        for site in Site::ALL {
            let now = users::reads(&lab.plan.reader_file(site)).unwrap_or_default();
            let before = &mut self.reads[site.index()];
            // One that was started again counts from the beginning.
            let known = if now.reads < before.reads { users::Reads::default() } else { *before };
            sum.reads += now.reads - known.reads;
            sum.failed += now.failed.saturating_sub(known.failed);
            *before = now;
        }
        sum
    }

    #[expect(clippy::too_many_arguments, reason = "all that is known of a leg")]
    fn note(
        &mut self,
        lab: &Lab,
        round: usize,
        leg: Leg,
        began: i64,
        view: &RunView,
        fired: &[Fired],
        lost: Lost,
    ) -> anyhow::Result<()> {
        let equal = match leg {
            Leg::Failover => None,
            _ => Some(match lab.tables_equal() {
                Ok(_) => true,
                Err(error) => {
                    self.wrong.push(format!("{}: {error:#}", leg.name()));
                    false
                }
            }),
        };
        let rows = users::acknowledged(&lab.plan.writer_file());
        let reads = self.note_reads(lab);
        let row = Row {
            round,
            leg: leg.name(),
            run: Run { id: view.id },
            state: view.state,
            took_ms: view.ended.map_or(-1, |ended| (ended - view.started).num_milliseconds()),
            write_gap_ms: users::longest_gap(&rows, began).unwrap_or(-1),
            limited_ms: self.proxies.longest().as_millis(),
            rows_acknowledged: rows.iter().filter(|row| row.at >= began).count(),
            rows_lost: lost.rows.len(),
            ledger_rows: lost.ledger.map(|(rows, _)| rows),
            ledger_unanswered: lost.ledger.map(|(_, unanswered)| unanswered),
            reads: reads.reads,
            reads_failed: reads.failed,
            kills: fired.iter().map(|one| report::kill(one, view)).collect(),
            databases_equal: equal,
        };
        report::print(&row, view);
        let name = format!("round {round}, {}", row.leg);
        if row.state != RunState::Completed {
            self.wrong.push(format!("{name}: the run ended as {:?}", row.state));
        }
        if row.reads_failed > 0 {
            self.wrong.push(format!("{name}: {} of {} reads failed", row.reads_failed, row.reads));
        }
        if !report::enough(&row.kills, KILLS) {
            let inside = report::in_databases(&row.kills);
            self.wrong.push(format!(
                "{name}: {} kills, {inside} of them inside steps of databases",
                row.kills.len()
            ));
        }
        self.legs.push(row);
        Ok(())
    }
}

/// What a supervisor does.
fn restart(lab: &mut Lab, victim: Victim) -> anyhow::Result<u32> {
    match victim {
        Victim::Runner => {
            lab.kill_runner()?; // Its children, too.
            lab.start_runner()
        }
        Victim::Services(host) => {
            lab.kill_services(host)?;
            lab.start_services(host)?;
            lab.services().get(host).copied().ok_or_else(|| anyhow!("the services of {host} ended at once"))
        }
    }
}

/// Every service is heard, and nothing is owed or in doubt.
fn nothing_owed(lab: &Lab) -> anyhow::Result<()> {
    until_every(STATUS_EVERY, "all services are heard, and nothing is owed", WITHIN, || {
        let status = lab.status()?;
        let silent = status.resources.iter().filter(|resource| resource.silent);
        let silent = silent.map(|resource| format!("{} is silent", resource.address));
        let owed = status.debts.iter().map(|debt| format!("{} of {} is owed", debt.what, debt.address));
        let doubts =
            status.doubts.iter().map(|debt| format!("{} of {} is in doubt", debt.what, debt.address));
        let all: Vec<String> = silent.chain(owed).chain(doubts).collect();
        if all.is_empty() { Ok(Some(())) } else { Err(anyhow!("{}", all.join(", "))) }
    })
}
