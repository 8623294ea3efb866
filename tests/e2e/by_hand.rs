//! A night without bus and runner, on real servers.

use std::process::{Command, Output};

use lab::system::loss::By;
use lab::system::plan::{GROUP, PROCESSES, Role, Site};
use lab::system::{STATUS_EVERY, until_every};
use schemas::view::{Mode, WorldView};

use crate::bench::{Bench, WITHIN};

/// One step of a printed manual: what it is about, the command, and the lines without Pointsman.
struct Step {
    site: String,
    command: String,
    lines: String,
}

fn steps(manual: &str) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    let (mut site, mut inside, mut block) = (String::new(), false, String::new());
    for line in manual.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            site = name.split('@').nth(1).unwrap_or_default().to_owned();
        } else if line.starts_with("```") {
            inside = !inside;
            match (inside, block.starts_with("pointsman act ")) {
                (true, _) => {}
                (false, true) => found.push(Step {
                    site: site.clone(),
                    command: block.trim_end().to_owned(),
                    lines: String::new(),
                }),
                (false, false) => found.last_mut().unwrap().lines.clone_from(&block),
            }
            block.clear();
        } else if inside {
            block += &format!("{line}\n");
        }
    }
    found
}

/// The host on which a command is typed.
fn host(step: &Step) -> &'static str {
    let site = Site::ALL.into_iter().find(|site| site.name() == step.site);
    let what = step.command.split(' ').nth(2).unwrap();
    let (service, resource) = what.split_once('.').unwrap();
    match (site, service) {
        (None, _) => "wdns",
        (Some(site), "database" | "replication") => site.host(Role::Database),
        // A client host or cache is called as its host is.
        (Some(site), "dns") => site.hosts().into_iter().find(|host| *host == resource).unwrap(),
        (Some(site), _) => site.host(PROCESSES.iter().find(|p| p.name == resource).unwrap().role),
    }
}

fn sh(lab: &Bench, host: &str, line: &str) -> Output {
    let own = format!("{} --config {}", lab.pointsman.path.display(), lab.plan.host_file(host).display());
    plain(&line.replacen("pointsman", &own, 1))
}

fn plain(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The site that `adopt` itself takes for the live one, from its first answer that names one: nobody tells it.
fn proposed(lab: &Bench) -> Site {
    until_every(STATUS_EVERY, "adopt finds a live site", WITHIN, || {
        let words = ["adopt", GROUP, "--dry-run", "--why", "where is it live?"];
        let world: WorldView = lab.pointsman.look(&lab.desk(), &words)?;
        match world.live {
            Some(live) => Ok(Site::named(live.as_str())),
            None => Err(anyhow::anyhow!("{}", world.objections.join("; "))),
        }
    })
    .unwrap()
}

#[test]
fn a_failover_is_done_by_hand_from_the_printed_manual_and_adopted() {
    let mut lab = Bench::start("by-hand");
    lab.pointsman.text(&lab.desk(), &["triggers", "off", GROUP, "--why", "by hand tonight"]).unwrap();
    lab.lose_site(Site::Main, By::Kill).unwrap();
    // The runner may have to find another server of the bus first.
    let manual = until_every(STATUS_EVERY, "the manual is printed", WITHIN, || {
        lab.pointsman.text(&lab.desk(), &["runbook", "failover", GROUP]).map(Some)
    })
    .unwrap();
    assert!(!manual.contains("password"), "a secret is printed");
    lab.kill_runner().unwrap();
    let bus = Site::Secondary.host(Role::Nats);
    let mut hosts: Vec<&'static str> =
        Site::Secondary.hosts().into_iter().filter(|host| *host != bus).collect();
    hosts.push("wdns");
    for host in &hosts {
        lab.kill_services(host).unwrap();
    }
    for host in ["s2nats", "wnats"] {
        lab.lose_host(host, By::Kill).unwrap();
    }

    let mut done = 0;
    for step in steps(&manual).iter().filter(|step| step.site != Site::Main.name()) {
        let host = host(step);
        let opens = step.command.contains("enable-access");
        // The databases without Pointsman at all, the rest by its drivers.
        let output = match step.command.contains("act database.") {
            true => {
                assert!(step.lines.contains("psql "), "{manual}");
                plain(&step.lines)
            }
            false => sh(&lab, host, &format!("{}{}", step.command, if opens { " --yes" } else { "" })),
        };
        assert!(output.status.success(), "{host}: {}\n{}{}", step.command, step.lines, text(&output));
        done += 1;
    }
    assert!(done >= 8, "{done} steps in\n{manual}");
    assert!(lab.is_open(Site::Secondary), "{manual}");
    lab.written_at(Site::Secondary);

    for host in ["s2nats", "wnats"] {
        lab.return_host(host).unwrap();
    }
    for host in hosts {
        lab.start_services(host).unwrap();
    }
    lab.start_runner().unwrap();
    assert_eq!(proposed(&lab), Site::Secondary);
    let words = ["adopt", GROUP, "--live", "secondary", "--yes", "--why", "done by hand"];
    let recorded = until_every(STATUS_EVERY, "the runner adopts what was done", WITHIN, || {
        let output =
            sh(&lab, "wrun", &format!("pointsman {}", words.join(" ").replace("done by hand", "hand")));
        match output.status.code() {
            // Main's services are silent, and are adopted when they are back.
            Some(4) => Ok(Some(text(&output))),
            code => Err(anyhow::anyhow!("{code:?}: {}", text(&output))),
        }
    });
    recorded.unwrap();
    let status = lab.status().unwrap();
    assert_eq!(status.mode, Mode::FailedOver, "{status:#?}");
    assert_eq!(status.live.as_ref().unwrap().as_str(), "secondary");
    lab.passed();
}

/// Both sites are there, and nothing of Pointsman runs: the way home, each step that its manual prints, by Pointsman's drivers.
#[test]
fn a_failback_is_done_by_hand_from_the_printed_manual_and_adopted() {
    let mut lab = Bench::start("failback-by-hand");
    lab.moved("switchover", Site::Secondary);
    let protected = |lab: &Bench| {
        until_every(STATUS_EVERY, "the group is protected", WITHIN, || {
            let status = lab.status()?;
            anyhow::ensure!(
                status.mode == Mode::Normal
                    && status.sentence.contains("is live, protected")
                    && !status.sentence.starts_with("nothing of "),
                "{status:?}"
            );
            Ok(Some(status))
        })
        .unwrap()
    };
    protected(&lab);
    let manual = lab.pointsman.text(&lab.desk(), &["runbook", "failback", GROUP]).unwrap();
    lab.kill_runner().unwrap();
    let mut hosts = vec!["wdns"];
    for site in Site::ALL {
        let bus = site.host(Role::Nats);
        hosts.extend(site.hosts().into_iter().filter(|host| *host != bus));
    }
    for host in &hosts {
        lab.kill_services(host).unwrap();
    }

    let (mut mark, mut done) = (String::new(), 0);
    for step in steps(&manual) {
        let opens = if step.command.contains("enable-access") { " --yes" } else { "" };
        // What the mark said is what the receiver's steps ask for.
        let command = format!("{}{opens}", step.command.replace("MARK", &mark));
        let output = sh(&lab, host(&step), &command);
        let said = text(&output);
        assert!(output.status.success(), "{command}\n{said}");
        if step.command.contains(" mark ") {
            mark = said.lines().find_map(|line| line.strip_prefix("MARK: ")).unwrap().to_owned();
        }
        done += 1;
    }
    assert!(done >= 20 && !mark.is_empty(), "{done} steps in\n{manual}");
    assert!(lab.is_open(Site::Main) && !lab.is_open(Site::Secondary), "{manual}");
    lab.written_at(Site::Main);

    for host in hosts {
        lab.start_services(host).unwrap();
    }
    lab.start_runner().unwrap();
    assert_eq!(proposed(&lab), Site::Main);
    until_every(STATUS_EVERY, "the runner adopts what was done", WITHIN, || {
        let output = sh(&lab, "wrun", "pointsman adopt cfg --live main --yes --why hand");
        anyhow::ensure!(output.status.code() == Some(0), "{}", text(&output));
        Ok(Some(()))
    })
    .unwrap();
    let status = protected(&lab);
    assert_eq!(status.live.as_ref().unwrap().as_str(), "main", "{status:#?}");
    assert!(status.debts.is_empty(), "{status:#?}");
    lab.passed();
}
