//! Reads what the tail no longer holds: a consumer that stands where a reader is walks on with it towards the tail.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tollgate_schemas::log::{LogError, Record, Topic};

use crate::{
    Options,
    client::{Quiet, storage},
    tail::{Arrived, readable},
};

/// Walkers kept; beyond, the one longest not used makes room.
const WALKERS: usize = 48;
/// A walker not used this long is let go at the next read.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct History {
    walkers: Mutex<Vec<Walker>>,
}

struct Walker {
    topic: Topic,
    partition: u16,
    next: u64,
    used: Instant,
    consumer: BaseConsumer<Quiet>,
}

impl History {
    /// Records from `from` to before `until`, at most `max`; none when there are none before `until`.
    pub fn read(&self, options: &Options, topic: Topic, partition: u16, from: u64, until: u64, max: usize) -> Result<Vec<Record>, LogError> {
        let mut walker = match self.take(topic, partition, from) {
            Some(walker) => walker,
            None => Walker::new(options, topic, partition, from)?,
        };
        let (arrived, ended) = walker.walk(until, max, options.request)?;
        if !ended {
            walker.used = Instant::now();
            self.put(walker);
        }
        readable(topic, partition, arrived.iter())
    }

    fn take(&self, topic: Topic, partition: u16, from: u64) -> Option<Walker> {
        let mut walkers = self.walkers.lock().unwrap_or_else(PoisonError::into_inner);
        let at = walkers.iter().position(|w| w.topic == topic && w.partition == partition && w.next == from)?;
        Some(walkers.swap_remove(at))
    }

    fn put(&self, walker: Walker) {
        let mut walkers = self.walkers.lock().unwrap_or_else(PoisonError::into_inner);
        walkers.retain(|w| w.used.elapsed() < IDLE);
        if walkers.len() >= WALKERS
            && let Some(oldest) = walkers.iter().enumerate().min_by_key(|(_, w)| w.used).map(|(i, _)| i)
        {
            walkers.swap_remove(oldest);
        }
        walkers.push(walker);
    }
}

impl Walker {
    fn new(options: &Options, topic: Topic, partition: u16, from: u64) -> Result<Walker, LogError> {
        let consumer: BaseConsumer<Quiet> = options.reader().create_with_context(Quiet).map_err(|e| storage("consumer", &e))?;
        let mut list = TopicPartitionList::new();
        let at = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        list.add_partition_offset(&options.topic(topic), partition.into(), at).map_err(|e| storage("reading a stream", &e))?;
        consumer.assign(&list).map_err(|e| storage("reading a stream", &e))?;
        Ok(Walker { topic, partition, next: from, used: Instant::now(), consumer })
    }

    /// What comes next; true when `until` or the end of the stream was met.
    fn walk(&mut self, until: u64, max: usize, patience: Duration) -> Result<(Vec<Arrived>, bool), LogError> {
        let deadline = Instant::now() + patience;
        let mut arrived = Vec::new();
        while arrived.len() < max {
            let wait = if arrived.is_empty() { Duration::from_millis(100) } else { Duration::ZERO };
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let one = Arrived::decode(message.offset(), message.payload());
                    if one.offset >= until {
                        return Ok((arrived, true));
                    }
                    self.next = one.offset + 1;
                    arrived.push(one);
                    if self.next >= until {
                        return Ok((arrived, true));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok((arrived, true)),
                Some(Err(e)) => {
                    tracing::debug!(error = %e, topic = self.topic.name(), partition = self.partition, "reading Kafka");
                    if !arrived.is_empty() {
                        return Ok((arrived, true));
                    }
                }
                None if !arrived.is_empty() => return Ok((arrived, false)),
                None => {}
            }
            if arrived.is_empty() && Instant::now() > deadline {
                return Err(LogError::Storage(format!("Kafka: topic {} partition {} from {} cannot be read: the brokers are away", self.topic.name(), self.partition, self.next)));
            }
        }
        Ok((arrived, false))
    }
}

/// Visits what a compacted or small topic's partition holds, from its beginning to its end now.
pub fn each(options: &Options, name: &str, partition: u16, mut see: impl FnMut(Option<&[u8]>, Option<&[u8]>)) -> Result<(), LogError> {
    let consumer: BaseConsumer<Quiet> = options.reader().create_with_context(Quiet).map_err(|e| storage("consumer", &e))?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(name, partition.into(), Offset::Beginning).map_err(|e| storage("reading a topic", &e))?;
    consumer.assign(&list).map_err(|e| storage("reading a topic", &e))?;
    let mut deadline = Instant::now() + options.request;
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                see(message.key(), message.payload());
                deadline = Instant::now() + options.request;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) => tracing::debug!(%error, topic = name, "reading Kafka"),
            None => {}
        }
        if Instant::now() > deadline {
            return Err(LogError::Storage(format!("Kafka: topic {name} partition {partition} cannot be read: the brokers are away")));
        }
    }
}
