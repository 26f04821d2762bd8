//! The binary and its tests hold librdkafka; why this name of it leads elsewhere says `ingest/kafka/src/hints.rs`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg=-Wl,--wrap=rd_kafka_metadata_update_op");
}
