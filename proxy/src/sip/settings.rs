//! Every timer of P-13 and P-46 and every size limit, as configuration. Milliseconds.

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// RFC 3261 §17: round trip, retransmit cap, longest life of a message in the network.
    pub t1_ms: u64,
    pub t2_ms: u64,
    pub t4_ms: u64,
    /// Nothing at all from the carrier: move on (P-46).
    pub first_response_ms: u64,
    /// No 18x: CANCEL and move on; the second for international calls.
    pub pdd_ms: u64,
    pub pdd_international_ms: u64,
    /// Ringing without an answer: CANCEL and stop.
    pub no_answer_ms: u64,
    /// No further carrier is tried when the call is older than this.
    pub hunt_ms: u64,
    /// Longest answered call.
    pub max_call_ms: u64,
    /// Proof of life of an answered call, written at most this often.
    pub interim_ms: u64,
    /// Longest Request-URI; longer gets 414 (P-21).
    pub max_uri_bytes: usize,
    /// Longest message; longer gets 513.
    pub max_message_bytes: usize,
    /// Calls at once in one shard; beyond it new calls get 503 with Retry-After.
    pub max_calls: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            t1_ms: 500,
            t2_ms: 4_000,
            t4_ms: 5_000,
            first_response_ms: 3_500,
            pdd_ms: 6_000,
            pdd_international_ms: 12_000,
            no_answer_ms: 90_000,
            hunt_ms: 20_000,
            max_call_ms: 4 * 3_600_000,
            interim_ms: 300_000,
            max_uri_bytes: 1_024,
            max_message_bytes: 16_384,
            max_calls: 200_000,
        }
    }
}

impl Settings {
    /// Timers B, D, F, H, J, L and M.
    pub fn t1_64(&self) -> u64 {
        self.t1_ms * 64
    }

    /// How long a caller's ACK may take before the call is ended (P-17): the answering side's own 64·T1 first.
    pub fn ack_wait_ms(&self) -> u64 {
        self.t1_64() + self.t1_ms
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn p_13_and_p_46_defaults() {
        let s = super::Settings::default();
        assert_eq!((s.t1_ms, s.t2_ms, s.t4_ms, s.t1_64()), (500, 4_000, 5_000, 32_000));
        assert_eq!((s.first_response_ms, s.pdd_ms, s.pdd_international_ms), (3_500, 6_000, 12_000));
        assert!((60_000..=120_000).contains(&s.no_answer_ms));
        assert_eq!((s.hunt_ms, s.max_call_ms), (20_000, 14_400_000));
    }
}
