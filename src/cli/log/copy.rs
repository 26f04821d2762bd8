//! `tollgate log copy`: from a laptop to a cluster.

use std::{io::IsTerminal, path::PathBuf};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tollgate_kafka::KafkaLog;

use super::{Done, Problems, open_folder, out};
use crate::config::Config;

/// Moves a stopped node's log to the empty Kafka a configuration names: every event, its id, its partition
///
/// Stages' progress and snapshots go along, so that rating and fraud go on where they were, and put out nothing twice. The
/// node's folder is left as it was. Start processes on the new configuration afterwards; the CDR store is filled from the log.
#[derive(clap::Args)]
pub struct Args {
    /// The stopped node's data folder
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to: kafka
    #[arg(long, value_enum)]
    to: To,
    /// The configuration of the cluster, with [log] kind = "kafka"
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum To {
    Kafka,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let To::Kafka = args.to;
    let config = Config::load(&args.config).map_err(Problems)?;
    let Some(kafka) = &config.log.kafka else { bail!("{}: [log] kind is not \"kafka\"", args.config.display()) };
    let from = open_folder(&args.data)?;
    let to = KafkaLog::open(crate::node::kafka_options(kafka, config.log.partitions, "tollgate-copy")).context("Kafka")?;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    let copied = tollgate_ingest::copy::copy(&from, &to, from.node(), |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let copied = copied.context("copying")?;
    if args.json {
        out::json(&json!({ "events": copied.events, "streams": copied.streams, "stages": copied.consumers, "snapshots": copied.snapshots }))?;
    } else {
        out::line(&format!(
            "{} events of {} partitions copied; {} stage positions and {} snapshots with them",
            copied.events, copied.streams, copied.consumers, copied.snapshots
        ))?;
    }
    Ok(Done::Yes)
}
