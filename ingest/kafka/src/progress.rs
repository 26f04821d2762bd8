//! Where consumers stand: committed offsets of Kafka's groups, the group named prefix + consumer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata},
};
use tollgate_schemas::log::{LogError, Progress, Topic};

use crate::{
    Options,
    client::{Quiet, storage},
};

/// One client for each group, whether or not this process is a member of it.
#[derive(Default)]
pub struct Offsets {
    clients: Mutex<HashMap<String, Arc<BaseConsumer<Quiet>>>>,
}

impl Offsets {
    fn client(&self, options: &Options, consumer: &str) -> Result<Arc<BaseConsumer<Quiet>>, LogError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(consumer) {
            return Ok(client.clone());
        }
        let mut config = options.reader();
        config.set("group.id", options.group(consumer));
        let client: BaseConsumer<Quiet> = config.create_with_context(Quiet).map_err(|e| storage("consumer", &e))?;
        let client = Arc::new(client);
        clients.insert(consumer.to_owned(), client.clone());
        Ok(client)
    }

    /// None when it never committed. Waits out an open transaction of a dead owner.
    pub fn committed(&self, options: &Options, consumer: &str, topic: Topic, partition: u16) -> Result<Option<u64>, LogError> {
        let client = self.client(options, consumer)?;
        let mut list = TopicPartitionList::new();
        let name = options.topic(topic);
        list.add_partition(&name, partition.into());
        let list = client.committed_offsets(list, options.request).map_err(|e| storage("reading progress", &e))?;
        let Some(entry) = list.find_partition(&name, partition.into()) else { return Ok(None) };
        entry.error().map_err(|e| storage("reading progress", &e))?;
        Ok(match entry.offset() {
            Offset::Offset(next) => u64::try_from(next).ok(),
            _ => None,
        })
    }

    /// For transactions of who is not a member of the group.
    pub fn metadata(&self, options: &Options, consumer: &str) -> Result<ConsumerGroupMetadata, LogError> {
        let none = || LogError::Storage(format!("Kafka: no metadata of group {}", options.group(consumer)));
        self.client(options, consumer)?.group_metadata().ok_or_else(none)
    }
}

pub fn list(options: &Options, progress: &[Progress]) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::new();
    for p in progress {
        let next = i64::try_from(p.next).map_err(|_| LogError::Refused(format!("progress {} is beyond Kafka's offsets", p.next)))?;
        list.add_partition_offset(&options.topic(p.topic), p.partition.into(), Offset::Offset(next)).map_err(|e| storage("progress", &e))?;
    }
    Ok(list)
}
