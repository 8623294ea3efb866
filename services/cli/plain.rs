//! Commands of one request and one line.

use schemas::Declaration;
use schemas::op::{Op, OpReply};

use crate::args::{Command, Switch, What};
use crate::bus::{Bus, strange};
use crate::exit::Exit;
use crate::output::Output;
use crate::{ask, text};

/// The request that such a command makes, and its reason.
pub(crate) fn op(command: Command) -> Option<(Op, String)> {
    Some(match command {
        Command::Approve(ask) => (Op::Approve { decision: ask.decision }, ask.why.why),
        Command::Accept(ask) => {
            let (unfenced, data_loss) = (ask.risk.unfenced, ask.risk.data_loss);
            (Op::Accept { run: ask.run, unfenced, data_loss }, ask.why.why)
        }
        Command::Pause(ask) => (Op::Pause { run: ask.run }, ask.why.why),
        Command::Resume(ask) => (Op::Resume { run: ask.run }, ask.why.why),
        Command::Retry(ask) => {
            (Op::Retry { run: ask.at.run, step: ask.at.step, fresh: ask.fresh }, ask.at.why.why)
        }
        Command::Skip(ask) => (Op::Skip { run: ask.run, step: ask.step }, ask.why.why),
        Command::Done(ask) => {
            (Op::Done { run: ask.at.run, step: ask.at.step, unverified: ask.unverified }, ask.at.why.why)
        }
        Command::Push(ask) => (Op::Push { run: ask.run }, ask.why.why),
        Command::Cancel(ask) => (Op::Cancel { run: ask.at.run, leave: ask.leave }, ask.at.why.why),
        Command::Ack(ask) => (Op::Ack { group: ask.group }, ask.why.why),
        Command::Triggers(ask) => {
            let for_seconds = ask.for_.map(|span| span.duration().as_secs());
            (Op::Triggers { group: ask.group, on: ask.switch == Switch::On, for_seconds }, ask.why.why)
        }
        Command::Declare(ask) => {
            let what = match ask.what {
                What::Disconnect => Declaration::Disconnect,
                What::Outage => Declaration::Outage,
                What::Disaster => Declaration::Disaster,
                What::Over => Declaration::Over,
            };
            (Op::Declare { group: ask.group, what, site: ask.site }, ask.why.why)
        }
        _ => return None,
    })
}

/// Sends it and says what was recorded.
pub(crate) async fn run(op: Op, why: &str, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let seen = match ask::run_of(&op) {
        Some(run) => Some(ask::seen(run, bus).await?),
        None => None,
    };
    out.line(bus.heading());
    let reply = bus.change(op, why, seen).await?;
    out.value(&reply);
    match &reply {
        OpReply::Recorded { what, at } => out.line(format!("{}  {what}", out.time(*at))),
        OpReply::Started { run, epoch } => {
            let run = text::short(run);
            out.line(format!("run {run} epoch {epoch}; follow it with `pointsman watch {run}`"));
        }
        OpReply::Run(run) => out.line(format!("run {} {}", text::short(&run.id), text::run_state(run.state))),
        other => return Err(strange(other)),
    }
    Ok(Exit::Done)
}
