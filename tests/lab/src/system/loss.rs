//! Loses hosts, whole sites and the DNS server, and brings them back.

use std::fmt;

use anyhow::{Context, bail};
use rustix::process::Signal;

use super::plan::{ProcessPlan, Role, Site, WITNESS_HOSTS};
use super::{Lab, marked};

/// How something is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Signal 9 for every process: connections are reset, nothing runs any more.
    Kill,
    /// Stopped in its tracks: connects succeed, nothing answers, and it may wake up serving.
    Freeze,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            By::Kill => "kill",
            By::Freeze => "freeze",
        })
    }
}

/// The pseudo-host of the DNS server alone.
pub const DNS: &str = "dns";

impl Lab {
    /// Loses a whole site: its bus server, databases, name servers, processes and services, and its reader.
    ///
    /// # Errors
    ///
    /// When something is left, or the site is lost already.
    pub fn lose_site(&mut self, site: Site, by: By) -> anyhow::Result<()> {
        self.lose(&site.hosts(), by)
    }

    /// Brings back a site. After a kill its servers, Pointsman's services and what runs at both sites start,
    /// as after a boot, and nothing else does, its reader neither; after a freeze everything goes on where
    /// it was.
    ///
    /// # Errors
    ///
    /// When a server does not start.
    pub fn return_site(&mut self, site: Site) -> anyhow::Result<()> {
        self.bring_back(&site.hosts())
    }

    /// Loses one host, or `dns`: the name server alone.
    ///
    /// # Errors
    ///
    /// When there is no such host, something is left, or it is lost already.
    pub fn lose_host(&mut self, host: &str, by: By) -> anyhow::Result<()> {
        self.lose(&[known(host)?], by)
    }

    /// Brings back one host, or `dns`.
    ///
    /// # Errors
    ///
    /// As [`Lab::return_site`].
    pub fn return_host(&mut self, host: &str) -> anyhow::Result<()> {
        self.bring_back(&[known(host)?])
    }

    fn lose(&mut self, hosts: &[&'static str], by: By) -> anyhow::Result<()> {
        if let Some(host) = hosts.iter().find(|host| self.lost.contains_key(*host)) {
            bail!("{host} is lost already");
        }
        // First all stops at one instant; so nothing sees another part of its site die.
        for host in hosts {
            self.freeze(host).with_context(|| format!("freeze {host}"))?;
        }
        for host in hosts {
            if by == By::Kill {
                self.kill(host).with_context(|| format!("kill {host}"))?;
            }
            self.lost.insert(host, by);
        }
        Ok(())
    }

    fn bring_back(&mut self, hosts: &[&'static str]) -> anyhow::Result<()> {
        for host in hosts {
            match self.lost.remove(host) {
                Some(By::Freeze) => self.thaw(host),
                Some(By::Kill) => self.boot(host).with_context(|| format!("start {host}"))?,
                None => {}
            }
        }
        Ok(())
    }

    fn freeze(&mut self, host: &str) -> anyhow::Result<()> {
        match Site::of_host(host) {
            Some((site, Role::Nats)) => self.bus.server(site.index()).freeze()?,
            Some((site, Role::Database)) => self.postgres[site.index()].freeze()?,
            Some((site, Role::Dns)) => {
                self.names[site.index()].authority.freeze()?;
                self.names[site.index()].cache.freeze()?;
            }
            _ if host == "wnats" => self.bus.server(2).freeze()?,
            _ if host == "wdns" || host == DNS => self.bind.freeze()?,
            _ => {}
        }
        // An act in progress may start a process meanwhile: services first, then what is left.
        for process in self.processes(host) {
            process.freeze()?;
        }
        marked::signal(&marked::of_host(&self.plan.folder, host), Signal::STOP);
        Ok(())
    }

    fn kill(&mut self, host: &str) -> anyhow::Result<()> {
        match Site::of_host(host) {
            Some((site, Role::Nats)) => self.bus.server(site.index()).kill()?,
            Some((site, Role::Database)) => self.postgres[site.index()].kill9()?,
            Some((site, Role::Dns)) => {
                self.names[site.index()].authority.kill()?;
                self.names[site.index()].cache.kill()?;
            }
            _ if host == "wnats" => self.bus.server(2).kill()?,
            _ if host == "wdns" || host == DNS => self.bind.kill()?,
            _ => {}
        }
        for process in self.processes(host) {
            process.kill()?;
        }
        marked::kill(&marked::of_host(&self.plan.folder, host));
        Ok(())
    }

    fn thaw(&mut self, host: &str) {
        match Site::of_host(host) {
            Some((site, Role::Nats)) => self.bus.server(site.index()).thaw(),
            Some((site, Role::Database)) => self.postgres[site.index()].thaw(),
            Some((site, Role::Dns)) => {
                self.names[site.index()].authority.thaw();
                self.names[site.index()].cache.thaw();
            }
            _ if host == "wnats" => self.bus.server(2).thaw(),
            _ if host == "wdns" || host == DNS => self.bind.thaw(),
            _ => {}
        }
        marked::signal(&marked::of_host(&self.plan.folder, host), Signal::CONT);
        for process in self.processes(host) {
            process.thaw();
        }
    }

    fn boot(&mut self, host: &'static str) -> anyhow::Result<()> {
        match Site::of_host(host) {
            Some((site, Role::Nats)) => return self.bus.server(site.index()).restart(),
            Some((site, Role::Database)) => self.postgres[site.index()].restart()?,
            Some((site, Role::Dns)) => {
                self.names[site.index()].authority.restart()?;
                self.names[site.index()].cache.restart()?;
            }
            Some(_) => {}
            None if host == "wnats" => return self.bus.server(2).restart(),
            None if host == "wdns" || host == DNS => self.bind.restart()?,
            None => {}
        }
        match host {
            "wrun" => self.start_runner().map(drop),
            "wmon" => self.start_prober(),
            DNS => Ok(()),
            host => self.start_services(host),
        }?;
        // What runs at both sites starts with its host; what runs at the live site only does not.
        if let Some((site, role)) = Site::of_host(host) {
            let everywhere = |process: &&ProcessPlan| process.role == role && !process.live_only;
            for process in self.plan.processes().into_iter().filter(everywhere) {
                self.run_start(site, process)?;
            }
        }
        Ok(())
    }

    /// What of the lab's own children runs on a host, other than its server.
    fn processes(&self, host: &str) -> Vec<&crate::process::Process> {
        let mut all: Vec<_> = self.serves.get(host).into_iter().collect();
        let watcher = match host {
            "s1app" => Some("reader-main"),
            "s2app" => Some("reader-secondary"),
            "wmon" => Some("prober"),
            _ => None,
        };
        all.extend(watcher.and_then(|name| self.watchers.get(name)));
        if host == "wrun" {
            all.extend(&self.runner);
        }
        all.retain(|process| process.exited().is_none());
        all
    }
}

fn known(host: &str) -> anyhow::Result<&'static str> {
    let sites = Site::ALL.into_iter().flat_map(Site::hosts);
    let all: Vec<&str> = sites.chain(WITNESS_HOSTS).chain([DNS]).collect();
    let found = all.iter().find(|name| **name == host);
    found.copied().with_context(|| format!("no host `{host}`; there are {}", all.join(", ")))
}
