//! BIND with one zone that takes updates signed with one key.

mod cache;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use domain::utils::base64;

use crate::folder::Folder;
use crate::lookup::{lookup, random, serial};
use crate::port::Port;
use crate::process::{Process, Program, write_file};
use crate::tools::in_path;

const READY_WITHIN: Duration = Duration::from_secs(15);
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// An address record of the zone.
#[derive(Debug, Clone)]
pub struct Record {
    /// The whole name, within the zone.
    pub name: String,
    /// In seconds.
    pub ttl: u32,
    /// A or AAAA, as the address is.
    pub address: IpAddr,
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct BindOptions {
    /// Where it listens: 127.0.0.1 or `::1`. BIND listens only where an interface has the very
    /// address, so 127.0.3.1 and the like do not work, unlike with the other servers.
    pub address: IpAddr,
    /// The zone's name.
    pub zone: String,
    /// What the zone has at first, beside its SOA and NS records.
    pub records: Vec<Record>,
    /// Name of the TSIG key (hmac-sha256) that may change address records.
    pub key_name: String,
    /// The key's secret; made up when none.
    pub key_secret_base64: Option<String>,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            zone: "example.test".into(),
            records: Vec::new(),
            key_name: "pointsman".into(),
            key_secret_base64: None,
        }
    }
}

/// A name server. Dropping it ends it.
///
/// Signed updates of A and AAAA records of names in the zone are done; all others are REFUSED.
/// Changes outlive [`Bind::kill`] and [`Bind::restart`].
#[derive(Debug)]
pub struct Bind {
    process: Option<Process>,
    program: Program,
    at: SocketAddr,
    zone: String,
    key_name: String,
    key_secret: String,
    _port: Port,
    _control: Option<Port>,
    folder: Folder,
}

impl Bind {
    /// Starts a server and returns once it answers for the zone.
    ///
    /// # Errors
    ///
    /// When the program is not there, or its configuration is refused.
    pub fn start(options: BindOptions) -> anyhow::Result<Self> {
        let port = Port::take(options.address)?;
        let mut bind = Self::prepare(&options, port)?;
        bind.configure(&bind.primary(&[]))?;
        write_file(&bind.folder.join("zone.db"), &zone_file(&options))?;
        bind.restart()?;
        Ok(bind)
    }

    /// Starts a server and a second one at `secondary` that follows it by NOTIFY and transfer.
    ///
    /// # Errors
    ///
    /// As [`Bind::start`].
    pub fn start_pair(options: BindOptions, secondary: IpAddr) -> anyhow::Result<(Self, Self)> {
        let (first, mut others) = Self::start_with_secondaries(options, &[secondary])?;
        Ok((first, others.pop().context("no secondary")?))
    }

    /// The same with a secondary at each of these addresses.
    ///
    /// # Errors
    ///
    /// As [`Bind::start`].
    pub fn start_with_secondaries(
        options: BindOptions,
        secondaries: &[IpAddr],
    ) -> anyhow::Result<(Self, Vec<Self>)> {
        let mut first = Self::prepare(&options, Port::take(options.address)?)?;
        let mut others = Vec::new();
        for address in secondaries {
            let options = BindOptions {
                address: *address,
                key_secret_base64: Some(first.key_secret.clone()),
                ..options.clone()
            };
            others.push(Self::prepare(&options, Port::take(*address)?)?);
        }
        let told: Vec<SocketAddr> = others.iter().map(Self::address).collect();
        first.configure(&first.primary(&told))?;
        write_file(&first.folder.join("zone.db"), &zone_file(&options))?;
        first.restart()?;
        for second in &mut others {
            second.configure(&second.secondary(first.at))?;
            second.restart()?;
        }
        Ok((first, others))
    }

    /// Where it listens, UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.at.port()
    }

    /// The zone's name.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// Name of the key that may change the zone.
    #[must_use]
    pub fn key_name(&self) -> &str {
        &self.key_name
    }

    /// Secret of the key (hmac-sha256) in base64.
    #[must_use]
    pub fn key_secret_base64(&self) -> &str {
        &self.key_secret
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

    /// The addresses that it answers for `name`; none when the name has none.
    ///
    /// # Errors
    ///
    /// When it does not answer within two seconds.
    pub fn lookup(&self, name: &str) -> anyhow::Result<Vec<IpAddr>> {
        lookup(self.at, name, ASK_WITHIN).map(|answer| answer.addresses)
    }

    /// The zone's serial number: it rises by one with each update that changed something.
    ///
    /// # Errors
    ///
    /// When it does not answer within two seconds.
    pub fn serial(&self) -> anyhow::Result<u32> {
        serial(self.at, &self.zone, ASK_WITHIN)
    }

    /// Sends an update by `nsupdate`, signed with the zone's key: lines such as
    /// `update delete NAME A` and `update add NAME TTL A ADDRESS`.
    ///
    /// # Errors
    ///
    /// When the server refuses it; the message has its code.
    pub fn update(&self, lines: &str) -> anyhow::Result<()> {
        let key = format!("key hmac-sha256:{} {}\n", self.key_name, self.key_secret);
        self.nsupdate(&key, lines)
    }

    /// The same without a signature, which is to be refused.
    ///
    /// # Errors
    ///
    /// As [`Bind::update`].
    pub fn update_unsigned(&self, lines: &str) -> anyhow::Result<()> {
        self.nsupdate("", lines)
    }

    /// Ends it with signal 9. It keeps its port, for [`Bind::restart`].
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |process| process.kill())
    }

    /// Stops it in its tracks: questions are taken, and not answered.
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

    /// Kills it if it runs, starts it on the same port, and returns once it answers for the zone.
    ///
    /// # Errors
    ///
    /// When it does not get ready.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        let process = Process::start(&self.program)?;
        let ready = || serial(self.at, &self.zone, Duration::from_millis(50)).is_ok();
        process.wait_ready(READY_WITHIN, ready).context("named")?;
        self.process = Some(process);
        Ok(())
    }

    fn prepare(options: &BindOptions, port: Port) -> anyhow::Result<Self> {
        if options.address.is_loopback()
            && ![IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].contains(&options.address)
        {
            bail!("BIND does not listen on {}: no interface has it", options.address);
        }
        let folder = Folder::new("bind")?;
        let key_secret = match &options.key_secret_base64 {
            Some(secret) => secret.clone(),
            None => base64::encode_string(&random::<32>()?),
        };
        let program = Program {
            path: named(&folder)?,
            args: vec!["-g".into(), "-c".into(), folder.join("named.conf").display().to_string()],
            env: Vec::new(),
            folder: folder.path().into(),
            log: folder.join("log"),
            account: None,
        };
        Ok(Self {
            process: None,
            program,
            at: SocketAddr::new(options.address, port.number()),
            zone: options.zone.clone(),
            key_name: options.key_name.clone(),
            key_secret,
            _port: port,
            _control: None,
            folder,
        })
    }

    fn configure(&self, zone: &str) -> anyhow::Result<()> {
        let (ip, port) = (self.at.ip(), self.port());
        let listen = if ip.is_ipv4() {
            format!("listen-on port {port} {{ {ip}; }};\n  listen-on-v6 {{ none; }};\n  notify-source {ip};")
        } else {
            format!(
                "listen-on {{ none; }};\n  listen-on-v6 port {port} {{ {ip}; }};\n  notify-source-v6 {ip};"
            )
        };
        let text = format!(
            r#"options {{
  directory "{folder}";
  {listen}
  pid-file none;
  session-keyfile "{folder}/session.key";
  recursion no;
  dnssec-validation no;
  empty-zones-enable no;
  notify explicit;
  notify-delay 0;
  notify-rate 1000;
  serial-query-rate 1000;
  allow-notify {{ 127.0.0.0/8; ::1; }};
  allow-transfer {{ key "{key}"; }};
  min-refresh-time 1;
  min-retry-time 1;
}};
controls {{ }};
key "{key}" {{ algorithm hmac-sha256; secret "{secret}"; }};
zone "{name}" {{
  {zone}
}};
"#,
            folder = self.folder.path().display(),
            key = self.key_name,
            secret = self.key_secret,
            name = self.zone,
        );
        write_file(&self.folder.join("named.conf"), &text)
    }

    fn primary(&self, secondaries: &[SocketAddr]) -> String {
        let told: String = secondaries.iter().map(|at| format!("{} port {}; ", at.ip(), at.port())).collect();
        let notify = if told.is_empty() { told } else { format!("also-notify {{ {told}}};") };
        format!(
            "type primary;\n  file \"zone.db\";\n  \
             update-policy {{ grant \"{}\" zonesub A AAAA; }};\n  {notify}",
            self.key_name
        )
    }

    fn secondary(&self, primary: SocketAddr) -> String {
        format!(
            "type secondary;\n  file \"zone.db\";\n  primaries {{ {} port {} key \"{}\"; }};",
            primary.ip(),
            primary.port(),
            self.key_name
        )
    }

    fn nsupdate(&self, head: &str, lines: &str) -> anyhow::Result<()> {
        let mut child = Command::new(in_path("nsupdate")?)
            .args(["-t", "5"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let script =
            format!("server {} {}\nzone {}\n{head}{lines}\nsend\n", self.at.ip(), self.port(), self.zone);
        child.stdin.take().context("no pipe")?.write_all(script.as_bytes())?;
        let done = child.wait_with_output()?;
        if !done.status.success() {
            bail!("nsupdate: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    }
}

/// The program, or a copy of it: where AppArmor is on, its profile goes by the path and would
/// keep the server out of our folder.
fn named(folder: &Folder) -> anyhow::Result<PathBuf> {
    let path = in_path("named")?;
    let confined = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|enabled| enabled.starts_with('Y'));
    if !confined {
        return Ok(path);
    }
    let copy = folder.join("named");
    std::fs::copy(&path, &copy)?;
    Ok(copy)
}

fn zone_file(options: &BindOptions) -> String {
    let zone = &options.zone;
    // Refresh and retry are short, so that a secondary that missed a NOTIFY is soon right. Without the options
    // `min-refresh-time` and `min-retry-time` they would be five minutes all the same.
    let mut text = format!(
        "$ORIGIN {zone}.\n$TTL 60\n\
         @ IN SOA ns.{zone}. admin.{zone}. 1 2 1 86400 1\n@ IN NS ns.{zone}.\n"
    );
    let ns = Record { name: format!("ns.{zone}"), ttl: 60, address: options.address };
    for record in std::iter::once(&ns).chain(&options.records) {
        let kind = if record.address.is_ipv4() { "A" } else { "AAAA" };
        let name = record.name.trim_end_matches('.');
        text += &format!("{name}. {} IN {kind} {}\n", record.ttl, record.address);
    }
    text
}
