//! Admission as the proxy core uses it: each refusal in its state, its order, emergency past all of them, and
//! counters that come back to where they were.

#[path = "admission/fixture.rs"]
mod fixture;
#[path = "admission/credit.rs"]
mod credit;
#[path = "admission/wallet.rs"]
mod wallet;
#[path = "admission/emergency.rs"]
mod emergency;
#[path = "admission/limits.rs"]
mod limits;
#[path = "admission/order.rs"]
mod order;
#[path = "admission/portability.rs"]
mod portability;
#[path = "admission/restart.rs"]
mod restart;
#[path = "admission/shared.rs"]
mod shared;
#[path = "admission/fleet.rs"]
mod fleet;

/// Who lends is rating's, and neither crate may import the other: since it needs nothing but the contracts, its source is
/// compiled into this test, to be run against real counters.
#[path = "../../rating/src"]
#[allow(dead_code)]
mod rating {
    pub mod credit;
    pub mod lease;
}
