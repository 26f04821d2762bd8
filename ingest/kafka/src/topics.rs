//! The topics: made at the start where they are missing, and checked against what the log relies on.

use std::time::Duration;

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
    types::RDKafkaRespErr,
};
use tollgate_schemas::log::{LogError, Topic};

use crate::{Options, client::storage};

/// What is wrong with a topic, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub topic: String,
    /// The log must not be used so.
    pub fatal: bool,
    pub problem: String,
    pub mend: String,
}

/// One topic as it should be.
struct Wanted {
    name: String,
    partitions: u16,
    config: Vec<(&'static str, String)>,
}

fn wanted(options: &Options) -> Vec<Wanted> {
    let keep = |hours: u64| if hours == 0 { "-1".to_owned() } else { (hours * 3_600_000).to_string() };
    let isr = (options.replication - 1).max(1).to_string();
    let mut all: Vec<Wanted> = Topic::ALL
        .into_iter()
        .map(|topic| {
            let hours = match topic {
                Topic::Calls => options.calls_retention_h,
                // Verdicts explain calls, so they are kept as long as those.
                Topic::Quality if options.calls_retention_h == 0 => 0,
                Topic::Quality => options.calls_retention_h.max(7 * 24),
                // Of the moment.
                Topic::Leases => 1,
                _ => 0,
            };
            let config = vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", keep(hours)),
                ("retention.bytes", "-1".to_owned()),
                ("min.insync.replicas", isr.clone()),
                ("unclean.leader.election.enable", "false".to_owned()),
            ];
            Wanted { name: options.topic(topic), partitions: options.count(topic), config }
        })
        .collect();
    // Only the newest snapshots matter; older ones go within minutes.
    let config = vec![
        ("cleanup.policy", "compact".to_owned()),
        ("segment.bytes", (16 << 20).to_string()),
        ("segment.ms", "600000".to_owned()),
        ("min.cleanable.dirty.ratio", "0.1".to_owned()),
        ("max.compaction.lag.ms", "600000".to_owned()),
        ("min.insync.replicas", isr),
        ("unclean.leader.election.enable", "false".to_owned()),
    ];
    all.push(Wanted { name: options.snapshots(), partitions: options.partitions, config });
    all
}

/// Runs an admin request from a plain thread.
fn block<T>(future: impl Future<Output = T>) -> Result<T, LogError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| LogError::Storage(e.to_string()))?;
    Ok(runtime.block_on(future))
}

fn admin(options: &Options) -> Result<AdminClient<DefaultClientContext>, LogError> {
    options.client().create().map_err(|e| storage("admin client", &e))
}

/// Makes what is missing. Refused: a topic with another partition count.
pub fn ensure(options: &Options) -> Result<(), LogError> {
    let findings = examine_with(options, true)?;
    match findings.iter().find(|f| f.fatal) {
        Some(f) => Err(LogError::Refused(format!("topic {}: {}; {}", f.topic, f.problem, f.mend))),
        None => {
            for f in findings {
                tracing::warn!(topic = f.topic, problem = f.problem, mend = f.mend, "Kafka topic");
            }
            Ok(())
        }
    }
}

/// Everything that is wrong with the topics; makes nothing. Fails when the brokers cannot be reached.
pub fn examine(options: &Options) -> Result<Vec<Finding>, LogError> {
    options.check()?;
    examine_with(options, false)
}

fn examine_with(options: &Options, make: bool) -> Result<Vec<Finding>, LogError> {
    let admin = admin(options)?;
    let wanted = wanted(options);
    let mut findings = Vec::new();
    let metadata = admin.inner().fetch_metadata(None, options.request).map_err(|e| storage("reading the list of topics", &e))?;
    let mut missing = Vec::new();
    let mut there = Vec::new();
    for topic in &wanted {
        let known = metadata.topics().iter().find(|t| t.name() == topic.name && t.error().is_none_or(|e| e != RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART));
        let Some(known) = known.filter(|t| !t.partitions().is_empty()) else {
            missing.push(topic);
            continue;
        };
        there.push(topic);
        let count = known.partitions().len();
        if count != usize::from(topic.partitions) {
            findings.push(Finding {
                topic: topic.name.clone(),
                fatal: true,
                problem: format!("it has {count} partitions, the configuration says {}", topic.partitions),
                mend: "the count is fixed when the topic is made, since an account's calls stay in one partition: set it back".to_owned(),
            });
        }
        let replicas = known.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or(0);
        if replicas < usize::try_from(options.replication).unwrap_or(1) {
            findings.push(Finding {
                topic: topic.name.clone(),
                fatal: false,
                problem: format!("it has {replicas} replica(s), the configuration says {}", options.replication),
                mend: "reassign its partitions, or lower `replication`".to_owned(),
            });
        }
        if known.partitions().iter().any(|p| p.leader() < 0) {
            findings.push(Finding {
                topic: topic.name.clone(),
                fatal: false,
                problem: "a partition has no leader".to_owned(),
                mend: "start the brokers that hold its replicas".to_owned(),
            });
        }
    }
    if make && !missing.is_empty() {
        create(&admin, options, &missing)?;
    } else {
        findings.extend(missing.iter().map(|t| Finding {
            topic: t.name.clone(),
            fatal: false,
            problem: "there is no such topic".to_owned(),
            mend: "it is made at the next start".to_owned(),
        }));
    }
    findings.extend(settings(&admin, options, &there)?);
    Ok(findings)
}

fn create(admin: &AdminClient<DefaultClientContext>, options: &Options, missing: &[&Wanted]) -> Result<(), LogError> {
    let topics: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|t| {
            let new = NewTopic::new(&t.name, t.partitions.into(), TopicReplication::Fixed(options.replication));
            t.config.iter().fold(new, |new, (key, value)| new.set(key, value))
        })
        .collect();
    let patience = AdminOptions::new().operation_timeout(Some(options.request)).request_timeout(Some(options.request));
    let results = block(admin.create_topics(&topics, &patience))?.map_err(|e| storage("making topics", &e))?;
    for result in results {
        match result {
            Ok(name) => tracing::info!(topic = name, "topic made"),
            // Another process was first.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(LogError::Storage(format!("Kafka: topic {name} cannot be made: {code}"))),
        }
    }
    // Known to every broker only a moment later.
    std::thread::sleep(Duration::from_millis(200));
    Ok(())
}

/// Settings by which facts would be lost.
fn settings(admin: &AdminClient<DefaultClientContext>, options: &Options, topics: &[&Wanted]) -> Result<Vec<Finding>, LogError> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let specs: Vec<ResourceSpecifier<'_>> = topics.iter().map(|t| ResourceSpecifier::Topic(&t.name)).collect();
    let patience = AdminOptions::new().request_timeout(Some(options.request));
    let described = block(admin.describe_configs(&specs, &patience))?.map_err(|e| storage("reading topic settings", &e))?;
    let mut findings = Vec::new();
    for (topic, resource) in topics.iter().zip(described) {
        let Ok(resource) = resource else { continue };
        for (key, want) in &topic.config {
            let have = resource.get(key).and_then(|e| e.value.clone()).unwrap_or_default();
            let worse = match *key {
                // Longer is no harm, shorter loses facts; -1 is for ever.
                "retention.ms" | "retention.bytes" => have != "-1" && (want == "-1" || have.parse::<i64>().unwrap_or(0) < want.parse::<i64>().unwrap_or(0)),
                "min.insync.replicas" => have.parse::<i32>().unwrap_or(0) < want.parse().unwrap_or(1),
                "cleanup.policy" | "unclean.leader.election.enable" => have != *want,
                _ => false,
            };
            if worse {
                findings.push(Finding {
                    topic: topic.name.clone(),
                    fatal: *key == "cleanup.policy",
                    problem: format!("{key} is {have}, facts are safe with {want}"),
                    mend: format!("kafka-configs.sh --alter --entity-type topics --entity-name {} --add-config {key}={want}", topic.name),
                });
            }
        }
    }
    Ok(findings)
}
