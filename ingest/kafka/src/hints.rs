//! What librdkafka 2.12.1 does with a broker's word on who leads a partition (KIP-951), and why it is not let.
//!
//! A response with such words is put together into an update for the client's main thread. A partition without a leader — as of
//! every partition of a broker that has just started — is counted in it and then left out, so that the update ends in memory
//! nobody wrote, and reading it as partitions ends the process (`rd_kafka_metadata_update_op`; confluentinc/librdkafka#5280,
//! open). A broker that is killed and comes back must cost a proxy no calls, so the update is not read: binaries that hold this
//! crate are linked with `--wrap` (each package's `build.rs`), and the name leads here. Nothing is lost by it: an error of that kind
//! has the client ask for the topic's leaders anyway, within 100 ms.
//!
//! To be taken out with the first librdkafka that sets `partition_cnt` in `rd_kafka_handle_Fetch_metadata_update`.

use std::ffi::{c_int, c_void};

/// `RD_KAFKA_OP_RES_HANDLED` of `rd_kafka_op_res_t`.
const HANDLED: c_int = 1;

/// In the place of `rd_kafka_metadata_update_op(rk, mdi)`: reads neither. The caller frees `mdi` with its op.
#[unsafe(no_mangle)]
extern "C" fn __wrap_rd_kafka_metadata_update_op(_client: *mut c_void, _update: *mut c_void) -> c_int {
    HANDLED
}
