//! A run's report, and whether anybody rewrote what it was made of.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use anyhow::Context;
use journal::Excerpt;
use paper::{Document, Evidence};
use schemas::op::{Op, OpReply};
use serde_json::json;

use crate::args::{Paper, Report, ReportAsk, ReportOf, ReportVerify};
use crate::bus::{Bus, strange};
use crate::exit::{Exit, Usage};
use crate::output::Output;

/// All of a run's evidence, in bytes; a longer one is made from an export.
const EVIDENCE_MAX: usize = 256 << 20;
/// The longest file that `verify` reads.
const FILE_MAX: u64 = 4 << 30;

/// `report`.
pub(crate) fn run(ask: &Report, host: &Path, out: &Output) -> anyhow::Result<Exit> {
    if let Some(ReportAsk::Verify(ask)) = &ask.ask {
        return verify(ask, out);
    }
    let evidence = match &ask.of.from {
        Some(file) => of_file(ask.of.run.as_deref(), file)?,
        None => crate::runtime()?.block_on(of_runner(ask.of.run.as_deref().unwrap_or_default(), host))?,
    };
    print(&ask.of, evidence, out)
}

/// The lines that prove a run, asked of the runner page by page.
pub(crate) async fn lines(run: &str, bus: &Bus) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut after = None;
    let mut bytes = 0;
    loop {
        let op = Op::Evidence { run: run.to_owned(), after };
        let page = match bus.look(op).await? {
            OpReply::Evidence(page) => page,
            other => return Err(strange(&other)),
        };
        bytes += page.lines.iter().map(String::len).sum::<usize>();
        if bytes > EVIDENCE_MAX {
            let text = "the run's entries are too many to ask for: use `journal export` and `report --from`";
            return Err(Usage(text.to_owned()).into());
        }
        lines.extend(page.lines);
        after = page.next;
        if after.is_none() {
            return Ok(lines);
        }
    }
}

/// Reads lines as evidence of the one run that they are about.
pub(crate) fn read(lines: &[String], run: Option<&str>) -> anyhow::Result<Evidence> {
    let text = lines.join("\n");
    let excerpt = Excerpt::read(text.as_bytes())?;
    Ok(Evidence::of(run, &excerpt)?)
}

async fn of_runner(run: &str, host: &Path) -> anyhow::Result<(Vec<String>, Evidence)> {
    let host = config::load_host(host)?;
    let bus = Bus::connect(&host.bus).await?;
    let lines = lines(run, &bus).await?;
    let evidence = read(&lines, None)?;
    Ok((lines, evidence))
}

/// A run of an export, and the lines that prove it.
pub(crate) fn of_file(run: Option<&str>, file: &Path) -> anyhow::Result<(Vec<String>, Evidence)> {
    let context = || format!("could not read {}", file.display());
    let opened = File::open(file).map_err(|error| Usage(error.to_string())).with_context(context)?;
    let excerpt =
        Excerpt::read(BufReader::new(opened)).map_err(|e| Usage(chain(&e))).with_context(context)?;
    let evidence = Evidence::of(run, &excerpt).map_err(|error| Usage(chain(&error))).with_context(context)?;
    let lines = evidence.lines(&excerpt);
    // As it will be read when it is verified.
    let evidence = read(&lines, None)?;
    Ok((lines, evidence))
}

/// The report of a run that its runner still knows.
pub(crate) async fn markdown(run: &str, bus: &Bus) -> anyhow::Result<String> {
    let evidence = read(&lines(run, bus).await?, None)?;
    Ok(paper::Report::of(&evidence).markdown())
}

fn print(ask: &ReportOf, (lines, evidence): (Vec<String>, Evidence), out: &Output) -> anyhow::Result<Exit> {
    let report = paper::Report::of(&evidence);
    let text = if out.json() {
        serde_json::to_string(&Document { report, evidence: lines })? + "\n"
    } else {
        match ask.form {
            Paper::Markdown => report.markdown(),
            Paper::Html => report.html(),
        }
    };
    match &ask.to {
        None => out.raw(&text),
        Some(path) => write(path, &text)?,
    }
    Ok(Exit::Done)
}

/// Writes a new file; one that is there is left alone.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let context = || format!("could not write {}", path.display());
    let mut file = File::create_new(path).map_err(|e| Usage(e.to_string())).with_context(context)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(context)
}

fn verify(ask: &ReportVerify, out: &Output) -> anyhow::Result<Exit> {
    let context = || format!("could not read {}", ask.file.display());
    let mut text = String::new();
    File::open(&ask.file)
        .and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
        .map_err(|error| Usage(error.to_string()))
        .with_context(context)?;
    let head: journal::Digest = ask.head.parse().map_err(|e: journal::BadDigest| Usage(e.to_string()))?;
    match verified(ask, &text, &head) {
        Ok((evidence, found)) => {
            out.value(&json!({ "run": evidence.run, "verified": found }));
            out.line(format!("run {}: as it was recorded", evidence.run));
            out.line(format!(
                "  {} entries of the run and {} of its group, up to the head",
                found.entries, found.group_entries
            ));
            if found.later > 0 {
                out.line(format!(
                    "  {} later entries of the group: sound, and not covered by it",
                    found.later
                ));
            }
            Ok(Exit::Done)
        }
        Err(Found::File(error)) => Err(error.context(context())),
        Err(Found::Damage(why)) => {
            out.value(&json!({ "verified": null, "damage": why }));
            out.line(format!("{} {}: {why}", out.warn("NOT AS RECORDED"), ask.file.display()));
            Ok(Exit::NotNormal)
        }
    }
}

enum Found {
    File(anyhow::Error),
    Damage(String),
}

fn verified(
    ask: &ReportVerify,
    text: &str,
    head: &journal::Digest,
) -> Result<(Evidence, paper::Verified), Found> {
    // A report's own JSON, or lines of an export.
    let document: Option<Document> = serde_json::from_str(text).ok();
    let lines = document.as_ref().map(|document| document.evidence.join("\n"));
    let excerpt = match Excerpt::read(lines.as_deref().unwrap_or(text).as_bytes()) {
        Ok(excerpt) => excerpt,
        Err(error @ journal::ExcerptError::Entry { .. }) => return Err(Found::Damage(chain(&error))),
        Err(error) => return Err(Found::File(Usage(chain(&error)).into())),
    };
    let evidence =
        Evidence::of(ask.run.as_deref(), &excerpt).map_err(|e| Found::File(Usage(chain(&e)).into()))?;
    let found = paper::verify(&evidence, head).map_err(|error| Found::Damage(chain(&error)))?;
    if document.is_some_and(|document| !document.report.says(&evidence)) {
        let why = "the entries are those recorded, but the report says something else than they do";
        return Err(Found::Damage(why.to_owned()));
    }
    Ok((evidence, found))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}
