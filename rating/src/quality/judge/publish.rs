//! Which verdicts are worth an event, and their names.

use prost::Message;
use tollgate_schemas::v1::{CarrierQuality, QualityVerdict};

use super::MINUTE_US;

/// A ratio that moved by so much is news at once, 1e-6; so is a mean that moved by a tenth.
const MOVED_E6: u32 = 20_000;

/// Whether to publish now: what changes an order is said at once, the rest once a minute.
pub fn worth_saying(said: &QualityVerdict, said_us: i64, verdict: &QualityVerdict, now_us: i64) -> bool {
    if said == verdict {
        return false;
    }
    if said_us == 0 || now_us - said_us >= MINUTE_US || said.classes.len() != verdict.classes.len() {
        return true;
    }
    let moved = |a: &[CarrierQuality], b: &[CarrierQuality]| a.len() != b.len() || a.iter().zip(b).any(|(a, b)| differs(a, b));
    moved(&said.carriers, &verdict.carriers)
        || said.classes.iter().zip(&verdict.classes).any(|(a, b)| a.codec_class != b.codec_class || moved(&a.carriers, &b.carriers))
}

fn differs(a: &CarrierQuality, b: &CarrierQuality) -> bool {
    let far = |a: u32, b: u32| a.abs_diff(b) >= MOVED_E6;
    let longer = |a: u64, b: u64| a.abs_diff(b) * 10 > a.max(b) && a.abs_diff(b) > 500;
    a.carrier != b.carrier
        || a.state != b.state
        || (a.fas_until_us == 0) != (b.fas_until_us == 0)
        || (a.samples == 0) != (b.samples == 0)
        || far(a.asr_e6, b.asr_e6)
        || far(a.ner_e6, b.ner_e6)
        || longer(a.acd_capped_ms, b.acd_capped_ms)
        || longer(a.pdd_ms, b.pdd_ms)
}

/// The name: the sampling instant in UTC seconds, and a hash of what the verdict says of which destination.
pub fn named(dest_group: &str, mut verdict: QualityVerdict, at_us: i64) -> QualityVerdict {
    verdict.at_us = at_us;
    verdict.name.clear();
    let mut hasher = blake3::Hasher::new();
    hasher.update(dest_group.as_bytes()).update(&[0]).update(&verdict.encode_to_vec());
    verdict.name = format!("q-{}-{}", at_us / 1_000_000, &hasher.finalize().to_hex()[..16]);
    verdict
}
