//! The SIP proxy, in the order a call meets it: who may call and what it costs (`admission`), the sans-IO core (`sip`)
//! that asks `routing` for carriers, and the shell around it (`udp`, `shard`). `live` folds the proxy's own events into
//! the calls that are up, which is what it starts from again after a crash.

pub mod admission;
pub mod live;
pub mod routing;
pub mod shard;
pub mod sip;
pub mod udp;
