//! The lab as a tool: a process in the background holds it, and takes one command a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::folder::Folder;
use crate::system::loss::By;
use crate::system::plan::Site;
use crate::system::{Lab, sweep, until};

const UP_WITHIN: Duration = Duration::from_secs(120);
const DOWN_WITHIN: Duration = Duration::from_secs(30);
const LONGEST: u64 = 64 * 1024;

/// What the holder writes beside the lab when it takes commands.
const SOCKET: &str = "socket";

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    ok: bool,
    text: String,
}

/// Starts a holder in the background and prints what it does; returns when the lab is up.
///
/// # Errors
///
/// When it does not come up; nothing is left then.
pub fn up(state: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(state)?;
    let said = std::env::temp_dir().join(format!("pointsman-lab-{}-up.log", std::process::id()));
    let log = std::fs::File::create(&said)?;
    let mut holder = Command::new("setsid")
        .arg(std::env::current_exe()?)
        .arg("--state")
        .arg(state)
        .arg("hold")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start the holder")?;
    let mut shown = 0;
    let result = until("the lab is up", UP_WITHIN, || {
        let text = std::fs::read_to_string(&said).unwrap_or_default();
        let ended = holder.try_wait()?;
        print!("{}", text.get(shown..).unwrap_or_default());
        shown = text.len();
        if let Some(status) = ended {
            return Ok(Some(Err(anyhow::anyhow!("the lab did not come up ({status})"))));
        }
        Ok(text.lines().any(|line| line == READY).then_some(Ok(())))
    });
    let _ = std::fs::remove_file(&said);
    result?
}

const READY: &str = "ready";

/// Holds a lab until it is told `down`, or the process is asked to end.
///
/// # Errors
///
/// When the lab does not come up.
pub fn hold(state: &Path) -> anyhow::Result<()> {
    let mut lab = Lab::up(state, &mut |line| println!("{line}"))?;
    // A path of a socket may have 107 bytes at most, and the lab's folder may be anywhere.
    let folder = Folder::new("control")?;
    let path = folder.join("socket");
    let listener = UnixListener::bind(&path)?;
    std::fs::write(lab.plan.path(SOCKET), path.display().to_string())?;
    end_on_signal(path);
    for line in lab.listening() {
        println!("{line}");
    }
    println!("{READY}");
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        match serve(&mut lab, stream) {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => eprintln!("{error:#}"),
        }
    }
    let state = lab.plan.folder.clone();
    drop(lab);
    sweep(&state)
}

fn end_on_signal(socket: PathBuf) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(signalled());
        }
        let _ = talk(&socket, &["down"]);
    });
}

/// Returns when this process is asked to end: Ctrl-C, or signal TERM.
pub async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}

/// Whether the lab is to end.
fn serve(lab: &mut Lab, stream: UnixStream) -> anyhow::Result<bool> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut line = String::new();
    BufReader::new(&stream).take(LONGEST).read_line(&mut line)?;
    let words: Vec<String> = serde_json::from_str(&line).context("a command that is none")?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (ok, text) = match obey(lab, &words) {
        Ok(text) => (true, text),
        Err(error) => (false, format!("{error:#}")),
    };
    let mut answer = serde_json::to_vec(&Answer { ok, text })?;
    answer.push(b'\n');
    (&stream).write_all(&answer)?;
    Ok(words == ["down"])
}

fn obey(lab: &mut Lab, words: &[&str]) -> anyhow::Result<String> {
    let site = |name: &str| Site::named(name).with_context(|| format!("no site `{name}`: main, secondary"));
    let by = |name: &str| By::from_str(name, true).map_err(|_| anyhow::anyhow!("kill or freeze"));
    match words {
        ["down"] => return Ok("going down".into()),
        ["status"] => {
            let mut lines = lab.listening();
            lines.extend(lab.lost().iter().map(|(host, by)| format!("lost       {host} ({by})")));
            return Ok(lines.join("\n"));
        }
        ["lose-site", name, how] => lab.lose_site(site(name)?, by(how)?)?,
        ["return-site", name] => lab.return_site(site(name)?)?,
        ["lose-host", name, how] => lab.lose_host(name, by(how)?)?,
        ["return-host", name] => lab.return_host(name)?,
        ["kill-runner"] => lab.kill_runner()?,
        ["start-runner"] => drop(lab.start_runner()?),
        ["client", name, line] => return lab.ask_proxy(site(name)?, line),
        _ => bail!("unknown command: {}", words.join(" ")),
    }
    Ok(format!("done: {}", words.join(" ")))
}

/// Sends a command to the lab of a folder; answers what it said.
///
/// # Errors
///
/// When no lab runs there, or it could not do that.
pub fn command(state: &Path, words: &[&str]) -> anyhow::Result<String> {
    let socket = std::fs::read_to_string(state.join(SOCKET))
        .with_context(|| format!("no lab runs in {}: `lab up` starts one", state.display()))?;
    talk(Path::new(&socket), words)
}

fn talk(socket: &Path, words: &[&str]) -> anyhow::Result<String> {
    let stream = UnixStream::connect(socket).context("the lab does not answer; `lab down` cleans up")?;
    stream.set_read_timeout(Some(DOWN_WITHIN))?;
    let mut line = serde_json::to_vec(words)?;
    line.push(b'\n');
    (&stream).write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(&stream).take(LONGEST).read_line(&mut answer)?;
    let answer: Answer = serde_json::from_str(&answer).context("the lab's answer cannot be read")?;
    if !answer.ok {
        bail!("{}", answer.text);
    }
    Ok(answer.text)
}

/// Ends the lab of a folder, if one runs there, and removes what is left of it.
///
/// # Errors
///
/// When it does not end.
pub fn down(state: &Path) -> anyhow::Result<()> {
    if !state.exists() {
        return Ok(());
    }
    if command(state, &["down"]).is_ok() {
        let gone = || Ok((!state.exists()).then_some(()));
        if until("the lab is down", DOWN_WITHIN, gone).is_ok() {
            return Ok(());
        }
    }
    sweep(state)
}
