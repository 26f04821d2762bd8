//! What a core gives its shell: datagrams and events, in order.

use std::net::SocketAddr;

use tollgate_schemas::log::Append;

/// One datagram to send: a range of [`Out::buf`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    pub to: SocketAddr,
    pub start: u32,
    pub end: u32,
    /// Not before this batch of events is durable; 0 = at once.
    pub after: u64,
}

#[derive(Debug, Default)]
pub struct Out {
    pub buf: Vec<u8>,
    pub sends: Vec<Send>,
    pub events: Vec<Append>,
}

impl Out {
    /// Adds a datagram written by `write`.
    pub fn send_with(&mut self, to: SocketAddr, after: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buf.len() as u32;
        write(&mut self.buf);
        self.sends.push(Send { to, start, end: self.buf.len() as u32, after });
    }

    pub fn send(&mut self, to: SocketAddr, after: u64, bytes: &[u8]) {
        self.send_with(to, after, |buf| buf.extend_from_slice(bytes));
    }

    pub fn bytes(&self, send: &Send) -> &[u8] {
        &self.buf[send.start as usize..send.end as usize]
    }

    pub fn clear_sends(&mut self) {
        self.buf.clear();
        self.sends.clear();
        if self.buf.capacity() > 1 << 20 {
            self.buf.shrink_to(1 << 18);
        }
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident),* $(,)?) => {
        /// What happened, counted since the start of the shard.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct Counters { $($(#[doc = $doc])* pub $name: u64),* }

        impl Counters {
            /// Every counter with its name, for metrics.
            pub fn each(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

counters! {
    /// Datagrams received.
    received,
    /// From addresses of nobody we know: dropped.
    strangers,
    keep_alives,
    /// Could not be framed or read.
    malformed,
    oversized,
    requests,
    responses,
    /// Requests and responses seen before: answered from memory or dropped.
    retransmissions,
    /// Our own repetitions.
    repeated,
    /// Responses that match no transaction: dropped (P-14).
    stray_responses,
    /// In-dialog requests that come from neither party of their dialog: dropped (P-22, X-07).
    wrong_party,
    unknown_dialogs,
    invites,
    refused,
    /// INVITEs that waited for what is known of their number.
    waited,
    answered,
    ended,
    torn_down,
    failed_over,
    late_answers,
    /// Sent while the log failed, before their events were durable.
    sent_unlogged,
    /// Nanoseconds the shard spent receiving and sending, in the core, and handing events to the log.
    sockets_ns,
    core_ns,
    events_ns,
}
