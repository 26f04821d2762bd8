//! Admission as the proxy core uses it: each refusal in its state, its order, emergency past all of them, and
//! counters that come back to where they were.

#[path = "admission/fixture.rs"]
mod fixture;
#[path = "admission/emergency.rs"]
mod emergency;
#[path = "admission/limits.rs"]
mod limits;
#[path = "admission/order.rs"]
mod order;
#[path = "admission/restart.rs"]
mod restart;
