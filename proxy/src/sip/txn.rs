//! Transactions: RFC 3261 §17 with RFC 6026. The records and their timer arithmetic; the core moves them on.

use std::net::SocketAddr;

use super::{settings::Settings, table::Ref};

/// Never.
pub const NEVER: u64 = u64::MAX;

/// A timer in the wheel at most once: `armed` says for when, `due` when it is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Alarm {
    pub due: u64,
    pub armed: u64,
}

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm { due: NEVER, armed: NEVER }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// No final response yet.
    Proceeding,
    /// Final sent: INVITE waits for the ACK (timers G, H); others absorb retransmissions (J).
    Completed,
    /// ACK seen, absorbing more of them (I).
    Confirmed,
    /// A 2xx went out: INVITE retransmissions are absorbed, further 2xx pass (RFC 6026, L).
    Accepted,
}

#[derive(Debug)]
pub struct ServerTx {
    pub key: u128,
    pub invite: bool,
    pub state: ServerState,
    pub reply_to: SocketAddr,
    /// The last response, for retransmissions; empty before the first and in Accepted.
    pub response: Vec<u8>,
    /// The response may leave once this batch of events is durable.
    pub after: u64,
    pub call: Option<Ref>,
    /// The undecided call this INVITE is.
    pub waiting: Option<Ref>,
    /// The client transaction this request was passed on with (in-dialog requests).
    pub relayed: Option<Ref>,
    pub interval: u64,
    /// When the state ends.
    pub end: u64,
    pub alarm: Alarm,
}

impl ServerTx {
    pub fn new(key: u128, invite: bool, reply_to: SocketAddr) -> ServerTx {
        ServerTx {
            key,
            invite,
            state: ServerState::Proceeding,
            reply_to,
            response: Vec::new(),
            after: 0,
            call: None,
            waiting: None,
            relayed: None,
            interval: 0,
            end: NEVER,
            alarm: Alarm::default(),
        }
    }

    /// A final response goes out: sets state and timers.
    pub fn finish(&mut self, status: u16, now: u64, s: &Settings) {
        self.end = now + s.t1_64();
        if self.invite && status < 300 {
            self.state = ServerState::Accepted;
            self.alarm.due = self.end;
        } else {
            self.state = ServerState::Completed;
            self.interval = s.t1_ms;
            self.alarm.due = if self.invite { now + s.t1_ms } else { self.end };
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientState {
    /// Nothing heard: retransmitting (A or E), giving up after 64·T1 (B or F).
    Calling,
    Proceeding,
    /// Non-2xx final seen: absorbing its retransmissions (D or K).
    Completed,
    /// 2xx to INVITE seen: further ones pass (RFC 6026, M).
    Accepted,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The INVITE to a carrier: index into the call's attempts.
    Attempt(u8),
    /// An in-dialog request passed on: its server transaction.
    Relay(Ref),
    /// A BYE of ours; true towards the caller.
    Bye { to_caller: bool },
    /// BYE for a late 2xx of an abandoned attempt.
    LateBye(u8),
    Cancel,
}

#[derive(Debug)]
pub struct ClientTx {
    pub invite: bool,
    pub state: ClientState,
    pub role: Role,
    pub call: Option<Ref>,
    pub dest: SocketAddr,
    /// As sent, for retransmission, CANCEL and ACK; dropped when none of them can come any more.
    pub request: Vec<u8>,
    /// The request may leave once this batch of events is durable.
    pub after: u64,
    pub interval: u64,
    pub next_send: u64,
    pub end: u64,
    pub alarm: Alarm,
    /// The ACK for a non-2xx final, repeated with its retransmissions.
    pub ack: Vec<u8>,
}

impl ClientTx {
    pub fn new(invite: bool, role: Role, call: Option<Ref>, dest: SocketAddr, after: u64, now: u64, s: &Settings) -> ClientTx {
        let next_send = now + s.t1_ms;
        let end = now + s.t1_64();
        ClientTx {
            invite,
            state: ClientState::Calling,
            role,
            call,
            dest,
            request: Vec::new(),
            after,
            interval: s.t1_ms,
            next_send,
            end,
            alarm: Alarm { due: next_send.min(end), armed: NEVER },
            ack: Vec::new(),
        }
    }

    /// A provisional response: INVITE stops retransmitting and has no timer of its own any more (the call watches);
    /// others go on every T2 until the end (§17.1.2.2).
    pub fn provisional(&mut self, s: &Settings) {
        if self.state != ClientState::Calling {
            return;
        }
        self.state = ClientState::Proceeding;
        if self.invite {
            self.next_send = NEVER;
            self.end = NEVER;
            self.alarm.due = NEVER;
        } else {
            self.interval = s.t2_ms;
        }
    }

    /// A final response: true when it is the first one.
    pub fn finish(&mut self, status: u16, now: u64, s: &Settings) -> bool {
        let first = matches!(self.state, ClientState::Calling | ClientState::Proceeding);
        if first {
            self.next_send = NEVER;
            (self.state, self.end) = match (self.invite, status < 300) {
                (true, true) => (ClientState::Accepted, now + s.t1_64()),
                (true, false) => (ClientState::Completed, now + s.t1_64()),
                (false, _) => (ClientState::Completed, now + s.t4_ms),
            };
            self.alarm.due = self.end;
        }
        first
    }

    /// After a retransmission: when the next one is due (timers A and E).
    pub fn back_off(&mut self, now: u64, s: &Settings) {
        self.interval = if self.invite { self.interval * 2 } else { (self.interval * 2).min(s.t2_ms) };
        self.next_send = now + self.interval;
        self.alarm.due = self.next_send.min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(invite: bool, s: &Settings) -> ClientTx {
        ClientTx::new(invite, Role::Cancel, None, ([127, 0, 0, 1], 5060).into(), 0, 0, s)
    }

    /// Times at which a request that nobody answers is sent, and when it is given up.
    fn lonely(invite: bool) -> (Vec<u64>, u64) {
        let s = Settings::default();
        let mut tx = client(invite, &s);
        let mut sent = vec![0];
        while tx.next_send < tx.end {
            let now = tx.next_send;
            sent.push(now);
            tx.back_off(now, &s);
        }
        (sent, tx.end)
    }

    #[test]
    fn p_13_invite_doubles_from_t1_and_gives_up_at_64_t1() {
        assert_eq!(lonely(true), (vec![0, 500, 1_500, 3_500, 7_500, 15_500, 31_500], 32_000));
    }

    #[test]
    fn p_13_other_requests_double_up_to_t2() {
        assert_eq!(lonely(false), (vec![0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500], 32_000));
    }

    #[test]
    fn p_14_a_2xx_keeps_both_sides_of_invite_open_for_64_t1() {
        let s = Settings::default();
        let mut tx = client(true, &s);
        assert!(tx.finish(200, 1_000, &s) && !tx.finish(200, 1_100, &s));
        assert_eq!((tx.state, tx.end), (ClientState::Accepted, 33_000));
        let mut server = ServerTx::new(1, true, ([127, 0, 0, 1], 5060).into());
        server.finish(200, 1_000, &s);
        assert_eq!((server.state, server.alarm.due), (ServerState::Accepted, 33_000));
    }

    #[test]
    fn p_13_completed_lasts_64_t1_for_invite_and_t4_for_others() {
        let s = Settings::default();
        let mut tx = client(true, &s);
        tx.finish(486, 0, &s);
        assert_eq!((tx.state, tx.end), (ClientState::Completed, 32_000));
        let mut other = client(false, &s);
        other.finish(200, 0, &s);
        assert_eq!((other.state, other.end), (ClientState::Completed, 5_000));
        let mut server = ServerTx::new(1, true, ([127, 0, 0, 1], 5060).into());
        server.finish(486, 0, &s);
        assert_eq!((server.alarm.due, server.end), (500, 32_000));
    }
}
