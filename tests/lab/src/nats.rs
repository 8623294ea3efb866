//! NATS servers: one, or a full mesh.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use crate::folder::Folder;
use crate::port::Port;
use crate::process::{Process, Program, write_file};
use crate::tools::nats_server;

const READY_WITHIN: Duration = Duration::from_secs(15);

/// How a server is started.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// Where it listens.
    pub address: IpAddr,
    /// With a JetStream store in its folder; the store outlives `kill` and `restart`.
    pub jetstream: bool,
    /// Added to the end of its configuration file as it is, for users, permissions or limits.
    pub config: String,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), jetstream: false, config: String::new() }
    }
}

/// A NATS server. Dropping it ends it.
#[derive(Debug)]
pub struct Nats {
    process: Option<Process>,
    program: Program,
    address: IpAddr,
    client: Port,
    route: Port,
    monitor: Port,
    folder: Folder,
}

impl Nats {
    /// Starts a server and returns once it takes clients.
    ///
    /// # Errors
    ///
    /// When the program is not there, or its configuration is refused.
    pub fn start(options: NatsOptions) -> anyhow::Result<Self> {
        let mut nats = Self::prepare("nats", &options)?;
        nats.configure(&options, None)?;
        nats.restart()?;
        Ok(nats)
    }

    /// `nats://address:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", SocketAddr::new(self.address, self.client.number()))
    }

    /// The address and port of its clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.client.number())
    }

    /// Its process id; none while it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// What it printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends it with signal 9. It keeps its ports, for [`Nats::restart`].
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |process| process.kill())
    }

    /// Stops it in its tracks: connects succeed, nothing answers.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.process.as_ref().context("not running")?.freeze()
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        if let Some(process) = &self.process {
            process.thaw();
        }
    }

    /// Kills it if it runs, starts it on the same ports, and returns once it takes clients.
    ///
    /// # Errors
    ///
    /// When it does not get ready.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        self.wait_ready()
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.process = Some(Process::start(&self.program)?);
        Ok(())
    }

    fn wait_ready(&self) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("not running")?;
        process
            .wait_ready(READY_WITHIN, || self.monitor("/healthz").is_ok_and(|body| body.contains("\"ok\"")))
            .context("nats-server")
    }

    fn prepare(name: &str, options: &NatsOptions) -> anyhow::Result<Self> {
        let folder = Folder::new(name)?;
        let program = Program {
            path: nats_server()?,
            args: vec!["-c".into(), folder.join("nats.conf").display().to_string()],
            env: Vec::new(),
            folder: folder.path().into(),
            log: folder.join("log"),
            account: None,
        };
        Ok(Self {
            process: None,
            program,
            address: options.address,
            client: Port::take(options.address)?,
            route: Port::take(options.address)?,
            monitor: Port::take(options.address)?,
            folder,
        })
    }

    fn configure(&self, options: &NatsOptions, mesh: Option<&Mesh>) -> anyhow::Result<()> {
        let address = options.address;
        let mut text = format!(
            "listen: \"{}\"\nhttp: \"{}\"\n",
            self.address(),
            SocketAddr::new(address, self.monitor.number())
        );
        // Short, so that a frozen peer or client is given up in seconds.
        text += "ping_interval: \"1s\"\nping_max: 2\nwrite_deadline: \"2s\"\n";
        if options.jetstream {
            let store: PathBuf = self.folder.join("jetstream");
            text += &format!("jetstream {{ store_dir: \"{}\" }}\n", store.display());
        }
        if let Some(mesh) = mesh {
            text += &format!("server_name: \"{}\"\n", mesh.name);
            text += &format!(
                "cluster {{\n  name: lab\n  listen: \"{}\"\n  routes: [{}]\n}}\n",
                SocketAddr::new(address, self.route.number()),
                mesh.routes.join(", ")
            );
        }
        text += &options.config;
        write_file(&self.folder.join("nats.conf"), &text)
    }

    /// Asks the monitoring port.
    fn monitor(&self, path: &str) -> anyhow::Result<String> {
        let at = SocketAddr::new(self.address, self.monitor.number());
        let wait = Duration::from_secs(2);
        let mut stream = TcpStream::connect_timeout(&at, wait)?;
        stream.set_read_timeout(Some(wait))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: lab\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(1 << 20).read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
        Ok(body.into())
    }

    /// How many other servers it is joined to.
    fn peers(&self) -> anyhow::Result<usize> {
        let routes: serde_json::Value = serde_json::from_str(&self.monitor("/routez")?)?;
        let mut names: Vec<&str> = routes["routes"]
            .as_array()
            .ok_or_else(|| anyhow!("no routes in {routes}"))?
            .iter()
            .filter_map(|route| route["remote_name"].as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names.len())
    }
}

struct Mesh {
    name: String,
    routes: Vec<String>,
}

/// Servers that are all joined to each other, as one at each of three places.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Nats>,
}

impl Cluster {
    /// Starts `count` servers on 127.0.0.1 and returns once each sees all others.
    ///
    /// # Errors
    ///
    /// As [`Nats::start`].
    pub fn start(count: usize) -> anyhow::Result<Self> {
        Self::start_with(vec![NatsOptions::default(); count])
    }

    /// Starts one server for each of `options` and returns once each sees all others.
    ///
    /// # Errors
    ///
    /// As [`Nats::start`].
    pub fn start_with(options: Vec<NatsOptions>) -> anyhow::Result<Self> {
        let mut servers = Vec::new();
        for (number, each) in options.iter().enumerate() {
            servers.push(Nats::prepare(&format!("nats{number}"), each)?);
        }
        let routes: Vec<String> = servers
            .iter()
            .map(|nats| format!("\"nats://{}\"", SocketAddr::new(nats.address, nats.route.number())))
            .collect();
        for (number, (nats, each)) in servers.iter_mut().zip(&options).enumerate() {
            let mesh = Mesh { name: format!("place-{number}"), routes: routes.clone() };
            nats.configure(each, Some(&mesh))?;
            nats.launch()?;
        }
        let cluster = Self { servers };
        for number in 0..cluster.servers.len() {
            cluster.wait_joined(number)?;
        }
        Ok(cluster)
    }

    /// One server, counted from 0; also to kill, freeze or restart it.
    ///
    /// # Panics
    ///
    /// When there is no such server.
    pub fn server(&mut self, number: usize) -> &mut Nats {
        &mut self.servers[number]
    }

    /// The addresses of all, for a client's list of servers.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Nats::url).collect()
    }

    /// Waits until a server takes clients and is joined to all others that run.
    ///
    /// # Errors
    ///
    /// When it is not within the bound.
    pub fn wait_joined(&self, number: usize) -> anyhow::Result<()> {
        let nats = self.servers.get(number).context("no such server")?;
        let Some(process) = &nats.process else { bail!("server {number} does not run") };
        let running = self.servers.iter().filter(|each| each.process.is_some()).count();
        process
            .wait_ready(READY_WITHIN, || nats.peers().is_ok_and(|peers| peers + 1 >= running))
            .with_context(|| format!("nats-server {number} of the cluster"))?;
        nats.wait_ready()
    }
}
