//! The API's own metrics.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    pub route: &'static str,
    pub method: &'static str,
    pub status: u16,
}

/// Cheap to clone; the default counts without being read.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub answered: Family<Answered, Counter>,
    /// Streams open now.
    pub streams: Gauge,
    /// Facts streams lost because they were read too slowly.
    pub stream_lost: Counter,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register("tollgate_api_requests", "Requests answered", self.answered.clone());
        registry.register("tollgate_api_streams", "Event streams open", self.streams.clone());
        registry.register("tollgate_api_stream_lost", "Facts lost by slow event streams", self.stream_lost.clone());
    }
}
