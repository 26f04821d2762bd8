//! `tollgate log replay`: a stage's whole input again, its outputs compared with the log (design §2).

use anyhow::Context as _;
use serde_json::{Value, json};
use tollgate_fraud::{Guard, merged};
use tollgate_ingest::{RunnerOptions, inspect};
use tollgate_rating::mediation::Rater;
use tollgate_schemas::{
    control::FraudPolicy,
    event::{Body, Event},
    log::Topic,
};

use super::{Done, Place, open, out};
use crate::node::RATING_VERSION;

/// Feeds the calls of the log to a fresh stage and compares what it makes with what the log has
///
/// Exit code 1 when anything differs. The input goes up to where the stage had come when the node stopped.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// rating makes CDRs and ledger entries, fraud makes alerts
    #[arg(long, value_enum, default_value = "rating")]
    stage: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Which {
    Rating,
    Fraud,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let log = open(&args.place)?;
    let report = match args.stage {
        Which::Rating => {
            // Documents of finance share the topic; nobody makes them again.
            let mine = |event: &Event| !matches!(&event.body, Some(Body::InvoiceIssued(_) | Body::NoteIssued(_) | Body::DisputeChanged(_)));
            let options = RunnerOptions::default();
            inspect::replay(&*log, "rater", |p| Box::new(Rater::new(p, RATING_VERSION)), &options, &[Topic::Cdrs, Topic::Ledger], &mine)
        }
        Which::Fraud => {
            let options = RunnerOptions { follow_control: true, ..RunnerOptions::default() };
            // Made once here, so that what cannot be is known before the replay.
            Guard::new(0, FraudPolicy::default()).map_err(|e| anyhow::anyhow!("the default fraud policy: {e}"))?;
            let make = |p| -> Box<dyn tollgate_schemas::stage::Stage> {
                match Guard::new(p, FraudPolicy::default()) {
                    Ok(guard) => Box::new(guard),
                    Err(e) => unreachable!("the default policy compiled before: {e}"),
                }
            };
            // Figures that span partitions are judged by another stage; what nears its limit rating tells.
            let mine = |event: &Event| match &event.body {
                // Coverage is told of where provisioning is decided.
                Some(Body::AlertClosed(_)) => false,
                Some(Body::AlertRaised(alert)) if alert.stays_open || alert.rule == "no_route" => false,
                Some(Body::AlertRaised(alert)) => !alert.rule.starts_with("credit_") && !merged::Rule::ALL.iter().any(|r| r.name() == alert.rule),
                _ => true,
            };
            inspect::replay(&*log, "fraud", make, &options, &[Topic::Alerts], &mine)
        }
    };
    let report = report.context("the log cannot be read")?;
    if args.json {
        let difference = |d: &inspect::Difference| json!({ "topic": d.topic.name(), "partition": d.partition, "id": d.id, "what": d.what });
        let differences: Vec<Value> = report.differences.iter().map(difference).collect();
        out::json(&json!({ "equal": report.equal(), "inputs": report.inputs, "outputs": report.outputs, "differences": differences }))?;
    } else {
        for d in &report.differences {
            eprintln!("{} partition {} {}: {}", d.topic.name(), d.partition, d.id, d.what);
        }
        let found = match report.differences.len() {
            0 => "equal to the log".to_owned(),
            n => format!("{n} differences"),
        };
        out::line(&format!("{} events fed, {} outputs made: {found}", report.inputs, report.outputs))?;
    }
    Ok(Done::when(report.equal()))
}
