//! A carrier's gateway: takes calls and does with them what its quality says, and keeps its own record of each
//! (RFC 3261 §13.3, §15, §17.2 as a user agent server).

use std::{
    collections::HashMap,
    net::SocketAddr,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use tollgate_proxy::sip::msg::{Kind as Line, Method, Msg};

use super::{
    Agent, Out,
    timers::Timers,
    wire::{self, Dialog, T1, T1_64, T2},
};
use crate::demo::prng::Prng;

/// How a carrier treats calls. Shares are of a thousand; what is left is answered.
#[derive(Debug, Clone)]
pub struct Quality {
    pub busy: u32,
    pub no_answer: u32,
    pub unavailable: u32,
    pub not_found: u32,
    /// Says nothing at all, not even 100.
    pub silent: u32,
    /// INVITE to ringing, and ringing to what comes then, milliseconds.
    pub pdd_ms: RangeInclusive<u64>,
    pub ring_ms: RangeInclusive<u64>,
    /// How often the called side hangs up first, and when, milliseconds after the answer.
    pub hangs_up: u32,
    pub hold_ms: RangeInclusive<u64>,
    /// Numbers that are answered at once and never hung up: where a fraudster is paid by the minute.
    pub traps: &'static [&'static str],
}

/// What a carrier saw of one INVITE.
#[derive(Debug, Clone)]
pub struct LegRecord {
    pub carrier: &'static str,
    pub call_id: String,
    /// Final status it sent; 0 for none.
    pub code: u16,
    pub answered: Option<Instant>,
    pub ended: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq)]
enum Plan {
    Answer,
    Fail(u16, &'static str),
}

#[derive(PartialEq)]
enum State {
    /// Nothing is ever said.
    Silent,
    Trying,
    /// 2xx sent, ACK awaited.
    Answered,
    Up,
    /// A failure was sent, ACK awaited.
    Failing,
    /// BYE sent.
    Closing,
    Done,
}

struct Leg {
    record: LegRecord,
    state: State,
    plan: Plan,
    /// The called side hangs up this long after the answer.
    hold: Option<Duration>,
    invite: Vec<u8>,
    peer: SocketAddr,
    tag: String,
    /// Sent again for each INVITE that comes again.
    last: Vec<u8>,
    dialog: Option<Dialog>,
    bye: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Wake {
    Ring,
    Decide,
    /// Timer G and its like for 2xx: the final response again, after this long next.
    Final(Duration),
    /// Timer H: no ACK came.
    Unacknowledged,
    HangUp,
    Bye(Duration),
    ByeLost,
}

pub struct Carrier {
    name: &'static str,
    own: SocketAddr,
    run: String,
    quality: Quality,
    prng: Prng,
    legs: Vec<Leg>,
    by_branch: HashMap<String, usize>,
    by_tag: HashMap<String, usize>,
    timers: Timers<(usize, Wake)>,
    branches: u64,
}

impl Carrier {
    pub fn new(name: &'static str, own: SocketAddr, run: &str, quality: Quality, prng: Prng) -> Carrier {
        Carrier {
            name,
            own,
            run: run.to_owned(),
            quality,
            prng,
            legs: Vec::new(),
            by_branch: HashMap::new(),
            by_tag: HashMap::new(),
            timers: Timers::new(),
            branches: 0,
        }
    }

    /// Every INVITE that came.
    pub fn into_records(self) -> Vec<LegRecord> {
        self.legs.into_iter().map(|l| l.record).collect()
    }

    fn branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bK{}{}{}", self.run, self.name, self.branches)
    }

    /// Chooses a call's course, as (plan, silent).
    fn choose(&mut self, number: &str) -> (Plan, bool) {
        let trap = self.quality.traps.iter().any(|t| number.starts_with(t));
        if trap || number.len() < 7 || number.starts_with("service:") {
            return (Plan::Answer, false);
        }
        let q = &self.quality;
        let dice = self.prng.below(1000) as u32;
        let mut upto = 0;
        for (share, plan, silent) in [
            (q.silent, Plan::Answer, true),
            (q.unavailable, Plan::Fail(503, "Service Unavailable"), false),
            (q.not_found, Plan::Fail(404, "Not Found"), false),
            (q.busy, Plan::Fail(486, "Busy Here"), false),
            (q.no_answer, Plan::Fail(480, "Temporarily Unavailable"), false),
        ] {
            upto += share;
            if dice < upto {
                return (plan, silent);
            }
        }
        (Plan::Answer, false)
    }

    fn invite(&mut self, msg: &Msg<'_>, bytes: &[u8], from: SocketAddr, now: Instant, out: &mut Out) {
        let (Some(branch), Some(call_id)) = (wire::branch(msg), wire::call_id(msg)) else { return };
        if let Some(n) = self.by_branch.get(&branch) {
            let leg = &self.legs[*n];
            if !leg.last.is_empty() && leg.state != State::Up {
                out.push((from, leg.last.clone()));
            }
            return;
        }
        if wire::to_tag(msg).is_some() {
            out.push((from, wire::respond(msg, 488, "Not Acceptable Here", "", None, "")));
            return;
        }
        let n = self.legs.len();
        let number = wire::dialled(msg).unwrap_or_default();
        let (plan, silent) = self.choose(&number);
        let tag = format!("{}{n}x{:x}", self.name, self.prng.next() as u32);
        let trap = self.quality.traps.iter().any(|t| number.starts_with(t));
        let hold = (!trap && self.prng.permille(self.quality.hangs_up)).then(|| self.prng.millis(&self.quality.hold_ms));
        let mut leg = Leg {
            record: LegRecord { carrier: self.name, call_id, code: 0, answered: None, ended: None },
            state: if silent { State::Silent } else { State::Trying },
            plan,
            hold,
            invite: bytes.to_vec(),
            peer: from,
            tag: tag.clone(),
            last: Vec::new(),
            dialog: Dialog::of_invite(msg, &tag),
            bye: Vec::new(),
        };
        if !silent {
            leg.last = wire::respond(msg, 100, "Trying", "", None, "");
            out.push((from, leg.last.clone()));
            let first = if trap { Duration::from_millis(40) } else { self.prng.millis(&self.quality.pdd_ms) };
            // Who is out of service says so without ringing.
            let wake = if matches!(plan, Plan::Fail(503 | 404, _)) || trap { Wake::Decide } else { Wake::Ring };
            self.timers.set(now + first, (n, wake));
        }
        self.by_branch.insert(branch, n);
        self.by_tag.insert(tag, n);
        self.legs.push(leg);
    }

    /// A response to the leg's INVITE, kept to be sent again.
    fn say(&mut self, n: usize, status: u16, reason: &str, with_sdp: bool, out: &mut Out) {
        let leg = &mut self.legs[n];
        let Ok(invite) = Msg::parse(&leg.invite) else { return };
        let contact = (status < 300).then_some(self.own);
        let body = if with_sdp { wire::sdp(self.own) } else { String::new() };
        let bytes = wire::respond(&invite, status, reason, &leg.tag, contact, &body);
        leg.last = bytes.clone();
        out.push((leg.peer, bytes));
    }

    fn finish(&mut self, n: usize, status: u16, reason: &str, now: Instant, out: &mut Out) {
        self.say(n, status, reason, status < 300, out);
        let leg = &mut self.legs[n];
        leg.record.code = status;
        if status < 300 {
            leg.record.answered = Some(now);
            leg.state = State::Answered;
            if let Some(hold) = leg.hold {
                self.timers.set(now + hold, (n, Wake::HangUp));
            }
        } else {
            leg.record.ended = Some(now);
            leg.state = State::Failing;
        }
        self.timers.set(now + T1, (n, Wake::Final(T1 * 2)));
        self.timers.set(now + T1_64, (n, Wake::Unacknowledged));
    }

    fn hang_up(&mut self, n: usize, now: Instant, out: &mut Out) {
        let branch = self.branch();
        let leg = &mut self.legs[n];
        if let Some(dialog) = &mut leg.dialog {
            leg.bye = dialog.request("BYE", self.own, &branch);
            if let Some(hop) = dialog.next_hop() {
                out.push((hop, leg.bye.clone()));
            }
        }
        leg.state = State::Closing;
        leg.record.ended = Some(now);
        self.timers.set(now + T1, (n, Wake::Bye(T1 * 2)));
        self.timers.set(now + T1_64, (n, Wake::ByeLost));
    }

    fn request(&mut self, msg: &Msg<'_>, method: Method<'_>, bytes: &[u8], from: SocketAddr, now: Instant, out: &mut Out) {
        let answer = |status, reason| wire::respond(msg, status, reason, "", None, "");
        let of_dialog = wire::to_tag(msg).and_then(|tag| self.by_tag.get(&tag).copied());
        let of_branch = wire::branch(msg).and_then(|branch| self.by_branch.get(&branch).copied());
        match method {
            Method::Invite => self.invite(msg, bytes, from, now, out),
            Method::Ack => {
                if let Some(n) = of_dialog.or(of_branch) {
                    let leg = &mut self.legs[n];
                    match leg.state {
                        State::Answered => leg.state = State::Up,
                        State::Failing => leg.state = State::Done,
                        _ => {}
                    }
                }
            }
            Method::Cancel => match of_branch {
                Some(n) => {
                    out.push((from, answer(200, "OK")));
                    if matches!(self.legs[n].state, State::Trying | State::Silent) {
                        self.finish(n, 487, "Request Terminated", now, out);
                    }
                }
                None => out.push((from, answer(481, "Call/Transaction Does Not Exist"))),
            },
            Method::Bye => match of_dialog {
                Some(n) => {
                    out.push((from, answer(200, "OK")));
                    let leg = &mut self.legs[n];
                    if matches!(leg.state, State::Answered | State::Up) {
                        leg.state = State::Done;
                        leg.record.ended = Some(now);
                    }
                }
                None => out.push((from, answer(481, "Call/Transaction Does Not Exist"))),
            },
            Method::Options => out.push((from, wire::respond(msg, 200, "OK", "options", None, ""))),
            _ if of_dialog.is_some() => out.push((from, answer(501, "Not Implemented"))),
            _ => out.push((from, answer(481, "Call/Transaction Does Not Exist"))),
        }
    }

    fn wake(&mut self, n: usize, wake: Wake, now: Instant, out: &mut Out) {
        let leg = &self.legs[n];
        match (wake, &leg.state) {
            (Wake::Ring, State::Trying) => {
                // Some gateways play their own ringing: 183 with a body.
                let early = self.prng.permille(300);
                let (status, reason) = if early { (183, "Session Progress") } else { (180, "Ringing") };
                self.say(n, status, reason, early, out);
                let ring = self.prng.millis(&self.quality.ring_ms);
                self.timers.set(now + ring, (n, Wake::Decide));
            }
            (Wake::Decide, State::Trying) => match leg.plan {
                Plan::Answer => self.finish(n, 200, "OK", now, out),
                Plan::Fail(status, reason) => self.finish(n, status, reason, now, out),
            },
            (Wake::Final(next), State::Answered | State::Failing) => {
                out.push((leg.peer, leg.last.clone()));
                self.timers.set(now + next, (n, Wake::Final((next * 2).min(T2))));
            }
            // RFC 3261 §13.3.1.4: an answer nobody acknowledges is taken back.
            (Wake::Unacknowledged, State::Answered) => self.hang_up(n, now, out),
            (Wake::Unacknowledged, State::Failing) => self.legs[n].state = State::Done,
            (Wake::HangUp, State::Up) => self.hang_up(n, now, out),
            // Not before its own answer was acknowledged (RFC 3261 §15).
            (Wake::HangUp, State::Answered) => self.timers.set(now + T1, (n, Wake::HangUp)),
            (Wake::Bye(next), State::Closing) => {
                if let Some(hop) = leg.dialog.as_ref().and_then(Dialog::next_hop) {
                    out.push((hop, leg.bye.clone()));
                }
                self.timers.set(now + next, (n, Wake::Bye((next * 2).min(T2))));
            }
            (Wake::ByeLost, State::Closing) => self.legs[n].state = State::Done,
            _ => {}
        }
    }

    fn response(&mut self, msg: &Msg<'_>, status: u16) {
        let of_bye = msg.cseq().is_ok_and(|c| c.method == Method::Bye) && status >= 200;
        // In a response to our BYE our own tag stands in From.
        if let Some(n) = wire::from_tag(msg).filter(|_| of_bye).and_then(|tag| self.by_tag.get(&tag).copied())
            && self.legs[n].state == State::Closing
        {
            self.legs[n].state = State::Done;
        }
    }
}

impl Agent for Carrier {
    fn handle(&mut self, bytes: &[u8], from: SocketAddr, now: Instant, out: &mut Out) {
        let Ok(msg) = Msg::parse(bytes) else { return };
        match msg.kind() {
            Line::Response { status, .. } => self.response(&msg, status),
            Line::Request { method, .. } => self.request(&msg, method, bytes, from, now, out),
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        while let Some((n, wake)) = self.timers.pop(now) {
            self.wake(n, wake, now, out);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.timers.next_due()
    }
}
