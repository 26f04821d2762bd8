//! `tollgate log`: the event log of a stopped node, opened in place (a running node holds its lock), or the one that the
//! configuration shares on Kafka, while it runs.

mod copy;
mod replay;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tollgate_ingest::{EmbeddedLog, Options, inspect};
use tollgate_kafka::KafkaLog;
use tollgate_schemas::{
    log::{EventLog, LogError, Topic},
    time::format_rfc3339,
};

use super::{Done, Problems, out};
use crate::config::Config;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Lists topics and partitions with their events
    Ls {
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Prints the events of a topic, oldest first
    Tail {
        /// calls, cdrs, ledger, alerts, blocks, control, decks, quality or quarantine
        #[arg(value_parser = parse_topic)]
        topic: Topic,
        /// One partition only
        #[arg(long)]
        partition: Option<u16>,
        /// From this offset of each partition on
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Most events
        #[arg(long)]
        limit: Option<usize>,
        /// Print JSON, one event a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Reads the whole log and says what is wrong with it
    Verify {
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Replay(replay::Args),
    Copy(copy::Args),
}

/// Which log.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// A stopped node's data folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration that names it: its data folder, or its Kafka
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn parse_topic(text: &str) -> Result<Topic, String> {
    Topic::from_name(text).ok_or_else(|| format!("there are {}", Topic::ALL.map(Topic::name).join(", ")))
}

/// Opens the log a place names.
pub fn open(place: &Place) -> anyhow::Result<Box<dyn EventLog>> {
    match (&place.data, &place.config) {
        (Some(data), _) => Ok(Box::new(open_folder(data)?)),
        (None, Some(file)) => {
            let config = Config::load(file).map_err(Problems)?;
            match &config.log.kafka {
                Some(_) => Ok(Box::new(open_kafka(&config)?)),
                None => Ok(Box::new(open_folder(&config.data_dir)?)),
            }
        }
        (None, None) => bail!("name a data folder with --data DIR, or a configuration with -c FILE"),
    }
}

/// The shared log of a configuration; nothing is made there.
pub fn open_kafka(config: &Config) -> anyhow::Result<KafkaLog> {
    let Some(kafka) = &config.log.kafka else { bail!("the configuration's log is not on Kafka: set [log] kind = \"kafka\"") };
    let options = crate::node::kafka_options(kafka, config.log.partitions, "tollgate-log");
    let findings = tollgate_kafka::examine(&options).context("Kafka")?;
    if let Some(bad) = findings.iter().find(|f| f.fatal || f.problem == "there is no such topic") {
        bail!("Kafka: topic {}: {}; {}", bad.topic, bad.problem, bad.mend);
    }
    KafkaLog::attach(options).context("Kafka")
}

/// Opens a folder's log, whatever its count of partitions.
pub fn open_folder(data: &std::path::Path) -> anyhow::Result<EmbeddedLog> {
    let folder = data.join("log");
    if !folder.is_dir() {
        bail!("{} holds no event log: name the data folder of a node with --data DIR", data.display());
    }
    let opened = EmbeddedLog::open(&folder, Options::default()).or_else(|e| match made_with(&e) {
        Some(partitions) => EmbeddedLog::open(&folder, Options { partitions, ..Options::default() }),
        None => Err(e),
    });
    opened.map_err(|e| match &e {
        LogError::Refused(what) if what.ends_with("in use by another process") => anyhow::anyhow!(
            "{}: the log is held by a running node: stop it first, or ask its API (tollgate get, block list, /v1/cdrs)", folder.display()
        ),
        _ => anyhow::anyhow!("{}: {e}", folder.display()),
    })
}

/// The count a log was made with, out of its refusal of another.
fn made_with(refusal: &LogError) -> Option<u16> {
    let LogError::Refused(text) = refusal else { return None };
    text.split_once("was made with ")?.1.split(' ').next()?.parse().ok()
}

pub fn run(command: Command) -> anyhow::Result<Done> {
    match command {
        Command::Ls { place, json } => ls(&*open(&place)?, json),
        Command::Tail { topic, partition, from, limit, json, place } => {
            tail(&*open(&place)?, topic, partition, from, limit.unwrap_or(usize::MAX), json)
        }
        Command::Verify { place, json } => verify(&*open(&place)?, json),
        Command::Replay(args) => replay::run(&args),
        Command::Copy(args) => copy::run(&args),
    }
}

fn ls(log: &dyn EventLog, as_json: bool) -> anyhow::Result<Done> {
    let streams = inspect::ls(log);
    if as_json {
        let stream = |s: &inspect::TopicInfo| {
            json!({ "topic": s.topic.name(), "partition": s.partition, "events": s.events, "first_offset": s.first_offset, "next_offset": s.next_offset })
        };
        out::json(&Value::Array(streams.iter().map(stream).collect()))?;
        return Ok(Done::Yes);
    }
    let rows: Vec<Vec<String>> = streams
        .iter()
        .filter(|s| s.events > 0)
        .map(|s| vec![s.topic.name().to_owned(), s.partition.to_string(), s.events.to_string(), s.first_offset.to_string(), s.next_offset.to_string()])
        .collect();
    out::text(&out::table(&["TOPIC", "PARTITION", "EVENTS", "FIRST", "NEXT"], &rows))?;
    let total: u64 = streams.iter().map(|s| s.events).sum();
    out::line(&format!("{total} events"))?;
    Ok(Done::Yes)
}

fn tail(log: &dyn EventLog, topic: Topic, partition: Option<u16>, from: u64, limit: usize, as_json: bool) -> anyhow::Result<Done> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for item in inspect::tail(log, topic, partition, from, None).take(limit) {
        let (partition, record) = item?;
        let event = &record.event;
        let written = if as_json {
            let mut line = json!({ "topic": topic.name(), "partition": partition, "offset": record.offset });
            if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), event.json()) {
                line.extend(fields);
            }
            writeln!(out, "{line}")
        } else {
            let call = event.call_id();
            let call = if call == tollgate_schemas::id::Id::NIL { String::new() } else { format!("  call {call}") };
            let key = if event.key.is_empty() { "-" } else { &event.key };
            writeln!(out, "{partition:>3} {:>8}  {}  {:<20} {key}{call}", record.offset, format_rfc3339(event.occurred_us), event.name())
        };
        out::wrote(written)?;
    }
    out::wrote(out.flush())?;
    Ok(Done::Yes)
}

/// Counts events on a terminal; nothing elsewhere.
fn spinner(what: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    ProgressBar::new_spinner().with_message(what.to_owned())
}

fn verify(log: &dyn EventLog, as_json: bool) -> anyhow::Result<Done> {
    let bar = spinner("events");
    let report = inspect::verify(log, |events| {
        bar.set_message(format!("{events} events"));
        bar.tick();
    });
    bar.finish_and_clear();
    let report = report.context("the log cannot be read")?;
    if as_json {
        let problem = |p: &inspect::Problem| json!({ "topic": p.topic.name(), "partition": p.partition, "offset": p.offset, "problem": p.what });
        let problems: Vec<Value> = report.problems.iter().map(problem).collect();
        out::json(&json!({
            "sound": report.sound(), "events": report.events, "cdrs": report.cdrs, "postings": report.postings, "repeats": report.repeats, "problems": problems,
        }))?;
    } else {
        for p in &report.problems {
            eprintln!("{} partition {} offset {}: {}", p.topic.name(), p.partition, p.offset, p.what);
        }
        let found = match report.problems.len() {
            0 => "all sound".to_owned(),
            n => format!("{n} problems"),
        };
        let repeats = match report.repeats {
            0 => String::new(),
            n => format!(", {n} sent twice and read once"),
        };
        out::line(&format!("{} events, {} CDRs, {} ledger postings{repeats}: {found}", report.events, report.cdrs, report.postings))?;
    }
    Ok(Done::when(report.sound()))
}
