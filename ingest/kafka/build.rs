//! Why: `src/hints.rs`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg=-Wl,--wrap=rd_kafka_metadata_update_op");
}
