//! The sans-IO SIP core, in the order bytes flow: messages, the names we hand out, transactions and timers, dialogs,
//! calls, and the core that moves them.

pub mod call;
pub mod cause;
pub mod core;
pub mod dialog;
pub mod msg;
pub mod sdp;
pub mod settings;
pub mod table;
pub mod timer;
pub mod token;
pub mod txn;
