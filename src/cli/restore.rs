//! `tollgate restore`: a backup into a new data folder, or into an empty Kafka.

mod close;

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde_json::json;
use tollgate_ingest::{
    EmbeddedLog, Options,
    backup::{self, Contents, Restored},
};
use tollgate_kafka::KafkaLog;

use super::{
    Done, Problems,
    backup::{bar, said, shown, tell},
    out,
};
use crate::{config::Config, node};

/// Puts a backup into a new data folder, or into the empty Kafka of a configuration
///
/// The whole file is checked before anything is written. A restored folder is a new node with an identity of its own; calls that
/// were up when the backup was taken belong to the node it was taken of, and are closed here as node_lost, at their last sign of
/// life. In Kafka they stay open: their proxies may be up. Everything else is folded from the log by the first start.
#[derive(clap::Args)]
pub struct Args {
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The data folder of the new node; it must hold no log
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration that names it: its empty Kafka, or its data folder
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only check that the file is whole
    #[arg(long)]
    check: bool,
}

/// Where a folder's log is while it is not whole.
const UNFINISHED: &str = "log.restoring";

fn open(from: &Path) -> anyhow::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(1 << 20, File::open(from).with_context(|| from.display().to_string())?))
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let progress = bar();
    let checked = backup::check(open(&args.from)?, |done, all| tell(&progress, done, all));
    progress.finish_and_clear();
    let contents = checked.with_context(|| format!("{}: nothing was restored", args.from.display()))?;
    if args.target.check {
        if args.json {
            out::json(&shown(&contents))?;
        } else {
            out::line(&format!("{} is whole: {}", args.from.display(), said(&contents)))?;
        }
        return Ok(Done::Yes);
    }
    match (&args.target.data, &args.target.config) {
        (Some(data), _) => into_folder(args, data, &contents),
        (None, Some(file)) => {
            let config = Config::load(file).map_err(Problems)?;
            if config.log.partitions != contents.header.partitions {
                bail!("the backup has {} partitions, {} says {}: an account's calls must stay in theirs; set [log] partitions = {}",
                    contents.header.partitions, file.display(), config.log.partitions, contents.header.partitions);
            }
            match &config.log.kafka {
                Some(kafka) => {
                    let log = KafkaLog::open(node::kafka_options(kafka, config.log.partitions, "tollgate-restore")).context("Kafka")?;
                    let restored = put(args, &log)?;
                    tell_end(args, &restored, "Kafka", json!(null), None)
                }
                None => into_folder(args, &config.data_dir, &contents),
            }
        }
        (None, None) => bail!("say where to: --data DIR or -c FILE; or --check"),
    }
}

fn put(args: &Args, log: &dyn tollgate_schemas::log::EventLog) -> anyhow::Result<Restored> {
    let progress = bar();
    let restored = backup::restore(open(&args.from)?, log, |done, all| tell(&progress, done, all));
    progress.finish_and_clear();
    restored.with_context(|| args.from.display().to_string())
}

/// The log is made beside its place and moved there when it is whole, so that no node starts on half of one.
fn into_folder(args: &Args, data: &Path, contents: &Contents) -> anyhow::Result<Done> {
    for name in ["log", "cdrs"] {
        if data.join(name).exists() {
            bail!("{} holds a node's {name} already: a backup is restored into a new folder; name another one with --data DIR", data.display());
        }
    }
    fs::create_dir_all(data).with_context(|| data.display().to_string())?;
    let unfinished = data.join(UNFINISHED);
    if unfinished.exists() {
        // Left by a restore that was interrupted: never a node's.
        fs::remove_dir_all(&unfinished).with_context(|| unfinished.display().to_string())?;
    }
    let options = Options { partitions: contents.header.partitions, ..Options::default() };
    let log = EmbeddedLog::open(&unfinished, options).with_context(|| unfinished.display().to_string())?;
    let restored = put(args, &log)?;
    let closed = close::open_calls(&log).context("closing the calls that were up")?;
    let node = format!("{:012x}", log.node());
    log.close().context("event log")?;
    drop(log);
    for (name, bytes) in &restored.secrets {
        if !node::put_secret(data, name, bytes)? {
            bail!("the backup holds a secret '{name}' that this program does not know: use a newer one");
        }
    }
    fs::rename(&unfinished, data.join("log")).with_context(|| data.display().to_string())?;
    File::open(data).and_then(|folder| folder.sync_all()).with_context(|| data.display().to_string())?;
    tell_end(args, &restored, &data.display().to_string(), json!(node), Some(closed))
}

fn tell_end(args: &Args, restored: &Restored, place: &str, node: serde_json::Value, closed: Option<u64>) -> anyhow::Result<Done> {
    if args.json {
        let mut all = shown(&restored.contents);
        all["new_node"] = node;
        all["stages"] = restored.positions.into();
        all["snapshots"] = restored.snapshots.into();
        all["calls_closed"] = closed.into();
        out::json(&all)?;
        return Ok(Done::Yes);
    }
    out::line(&format!("{}: {}", args.from.display(), said(&restored.contents)))?;
    let who = node.as_str().map(|n| format!(" as node {n}")).unwrap_or_default();
    out::line(&format!("restored into {place}{who}, {} stage positions and {} snapshots set", restored.positions, restored.snapshots))?;
    if let Some(closed) = closed {
        out::line(&format!("{closed} calls that were up are closed as node_lost; their CDRs are written by the first start"))?;
    }
    Ok(Done::Yes)
}
