//! Numbers the streams: one for each topic and partition, topics in the order of their numbers.

use tollgate_schemas::log::{LogError, Topic};

#[derive(Debug, Clone)]
pub struct Streams {
    partitions: u16,
    /// First stream of each topic, by topic number - 1.
    first: [u16; Topic::ALL.len()],
    of: Vec<(Topic, u16)>,
}

impl Streams {
    pub fn new(partitions: u16) -> Streams {
        let mut first = [0; Topic::ALL.len()];
        let mut of = Vec::new();
        for (slot, topic) in first.iter_mut().zip(Topic::ALL) {
            *slot = of.len() as u16;
            let count = if topic.single_partition() { 1 } else { partitions };
            of.extend((0..count).map(|p| (topic, p)));
        }
        Streams { partitions, first, of }
    }

    pub fn partitions(&self) -> u16 {
        self.partitions
    }

    pub fn count(&self) -> usize {
        self.of.len()
    }

    /// Refuses a partition the topic does not have.
    pub fn index(&self, topic: Topic, partition: u16) -> Result<usize, LogError> {
        let count = if topic.single_partition() { 1 } else { self.partitions };
        if partition < count {
            return Ok(usize::from(self.first[topic as usize - 1] + partition));
        }
        Err(LogError::Refused(format!("topic {} has {count} partition(s), there is no partition {partition}", topic.name())))
    }

    pub fn of(&self, stream: usize) -> (Topic, u16) {
        self.of[stream]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_has_its_own_number_and_topics_are_in_the_order_of_all() {
        let s = Streams::new(16);
        assert_eq!(s.count(), 7 * 16 + 3);
        for i in 0..s.count() {
            let (topic, partition) = s.of(i);
            assert_eq!(s.index(topic, partition).expect("its own stream"), i);
        }
        // Stream numbers are stored in segment rows: a topic's number is its place.
        for (i, topic) in Topic::ALL.into_iter().enumerate() {
            assert_eq!(topic as usize, i + 1);
        }
    }
}
