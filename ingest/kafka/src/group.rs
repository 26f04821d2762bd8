//! Which of a consumer's partitions are this process's: a member of Kafka's consumer group, with cooperative rebalancing, so
//! that a change of members stops only the partitions that move. The member fetches nothing: records are read through the log.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use tollgate_schemas::log::{LogError, Member, Topic};

use crate::{
    Options,
    client::{Quiet, storage},
};

/// Told, after the member has let partitions go.
pub type OnRevoked = Box<dyn Fn(&[u16]) + Send + Sync>;

pub struct Context {
    quiet: Quiet,
    member: Arc<dyn Member>,
    revoked: OnRevoked,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.quiet.log(level, facility, message);
    }
    fn stats(&self, _: Statistics) {}
    fn error(&self, error: KafkaError, reason: &str) {
        self.quiet.error(error, reason);
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<u16> {
    list.elements().iter().filter_map(|e| u16::try_from(e.partition()).ok()).collect()
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, change: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let moved = partitions(list);
        if change == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if let Err(error) = consumer.incremental_assign(list) {
                tracing::error!(%error, "partitions cannot be taken up");
                return;
            }
            // Records are read elsewhere, and only this one's place in the group matters.
            if let Err(error) = consumer.pause(list) {
                tracing::warn!(%error, "the group's own fetching could not be paused");
            }
            self.member.assigned(&moved);
        } else {
            self.member.revoked(&moved);
            (self.revoked)(&moved);
            if let Err(error) = consumer.incremental_unassign(list) {
                tracing::warn!(%error, "partitions could not be let go");
            }
        }
    }
}

pub type Client = BaseConsumer<Context>;

/// Membership: dropping it leaves the group.
pub struct Joined {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn join(
    options: &Options,
    consumer: &str,
    topic: Topic,
    member: Arc<dyn Member>,
    revoked: OnRevoked,
) -> Result<(Joined, Weak<Client>), LogError> {
    let mut config = options.client();
    let session = options.session.as_millis();
    config
        .set("group.id", options.group(consumer))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", session.to_string())
        .set("heartbeat.interval.ms", (session / 4).max(200).to_string())
        // Letting go waits for a stage's last commit.
        .set("max.poll.interval.ms", (session * 10).max(60_000).to_string())
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", "64")
        .set("fetch.message.max.bytes", "65536");
    let context = Context { quiet: Quiet, member, revoked };
    let client: Client = config.create_with_context(context).map_err(|e| storage("group member", &e))?;
    client.subscribe(&[&options.topic(topic)]).map_err(|e| storage("joining a group", &e))?;
    let client = Arc::new(client);
    let weak = Arc::downgrade(&client);
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = stop.clone();
    let thread = std::thread::Builder::new()
        .name(format!("group-{consumer}"))
        .spawn(move || {
            while !stopping.load(Ordering::Acquire) {
                if let Some(Err(error)) = client.poll(Duration::from_millis(50)) {
                    tracing::debug!(%error, "group member");
                }
            }
            // Leaving revokes: the member lets go in the last polls.
            client.unsubscribe();
            for _ in 0..40 {
                let left = client.assignment().is_ok_and(|a| a.count() == 0);
                client.poll(Duration::from_millis(50));
                if left {
                    break;
                }
            }
        })
        .map_err(|e| LogError::Storage(format!("cannot start a group's thread: {e}")))?;
    Ok((Joined { stop, thread: Some(thread) }, weak))
}
