//! A customer's equipment: places the calls its scripts ask for, hangs up or gives up as people do, and keeps its own
//! record of how every call went (RFC 3261 §13.2, §15, §17.1 as a user agent client).

mod script;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering, mpsc::Sender},
    time::{Duration, Instant},
};

use tollgate_proxy::sip::msg::{Header, Kind as Line, Method, Msg};

use super::{
    Agent, Out,
    timers::Timers,
    wire::{self, Dialog, Request, T1, T1_64, T2},
};
use crate::demo::prng::Prng;

pub use script::{CallRecord, Dial, Kind, Notice, Script, Stage};

enum State {
    /// INVITE sent, nothing heard.
    Calling,
    /// A 1xx was heard.
    Proceeding,
    Up,
    /// BYE sent.
    Closing,
    Done,
}

struct Call {
    record: CallRecord,
    dial: Dial,
    state: State,
    uri: String,
    from: String,
    to: String,
    branch: String,
    invite: Vec<u8>,
    /// CANCEL is to be sent, or was.
    giving_up: bool,
    cancel: Option<Vec<u8>>,
    cancel_answered: bool,
    /// Sent again for each final response that comes again.
    ack: Vec<u8>,
    dialog: Option<Dialog>,
    bye: Vec<u8>,
    bye_branch: String,
}

#[derive(Clone, Copy)]
enum Wake {
    /// Timers A, E: the message again, after this long next.
    Invite(Duration),
    Cancel(Duration),
    Bye(Duration),
    /// Timers B and F.
    InviteLost,
    ByeLost,
    Impatient,
    HangUp,
}

pub struct Caller {
    name: &'static str,
    own: SocketAddr,
    proxy: SocketAddr,
    /// Starts every Call-ID, tag and branch of this run.
    run: String,
    prng: Prng,
    scripts: Vec<Box<dyn Script>>,
    calls: Vec<Call>,
    by_call_id: HashMap<String, usize>,
    timers: Timers<(usize, Wake)>,
    live: [usize; 3],
    branches: u64,
    curtain_seen: bool,
    stage: Arc<Stage>,
    notices: Sender<Notice>,
}

impl Caller {
    pub fn new(name: &'static str, own: SocketAddr, proxy: SocketAddr, run: &str, prng: Prng, stage: Arc<Stage>, notices: Sender<Notice>) -> Caller {
        Caller {
            name,
            own,
            proxy,
            run: run.to_owned(),
            prng,
            scripts: Vec::new(),
            calls: Vec::new(),
            by_call_id: HashMap::new(),
            timers: Timers::new(),
            live: [0; 3],
            branches: 0,
            curtain_seen: false,
            stage,
            notices,
        }
    }

    pub fn with(mut self, script: impl Script + 'static) -> Caller {
        self.scripts.push(Box::new(script));
        self
    }

    /// Every call that was placed.
    pub fn into_records(self) -> Vec<CallRecord> {
        self.calls.into_iter().map(|c| c.record).collect()
    }

    fn branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bK{}{}{}", self.run, self.name, self.branches)
    }

    pub fn place(&mut self, dial: Dial, now: Instant, out: &mut Out) {
        let n = self.calls.len();
        let call_id = format!("{}-{}-{n}-{:08x}", self.run, self.name, self.prng.next() as u32);
        let branch = self.branch();
        let host = self.proxy;
        let (uri, to) = match dial.to.strip_prefix("urn:") {
            Some(_) => (dial.to.clone(), format!("<{}>", dial.to)),
            None => (format!("sip:{}@{host}", dial.to), format!("<sip:{}@{host}>", dial.to)),
        };
        let from = format!("<sip:{}@{}>;tag={:x}{n}", dial.from, self.own, self.prng.next() as u32);
        let body = wire::sdp(self.own);
        let invite = Request {
            method: "INVITE",
            uri: &uri,
            own: self.own,
            branch: &branch,
            routes: &[],
            from: &from,
            to: &to,
            call_id: &call_id,
            cseq: 1,
            with_contact: true,
            body: &body,
        }
        .write();
        out.push((self.proxy, invite.clone()));
        self.timers.set(now + T1, (n, Wake::Invite(T1 * 2)));
        self.timers.set(now + T1_64, (n, Wake::InviteLost));
        self.timers.set(now + dial.patience, (n, Wake::Impatient));
        self.live[dial.kind as usize] += 1;
        self.stage.placed.fetch_add(1, Ordering::Relaxed);
        self.by_call_id.insert(call_id.clone(), n);
        self.calls.push(Call {
            record: CallRecord {
                customer: self.name,
                kind: dial.kind,
                call_id,
                started: now,
                answered: None,
                ended: None,
                code: 0,
                ended_by_far_side: false,
            },
            dial,
            state: State::Calling,
            uri,
            from,
            to,
            branch,
            invite,
            giving_up: false,
            cancel: None,
            cancel_answered: false,
            ack: Vec::new(),
            dialog: None,
            bye: Vec::new(),
            bye_branch: String::new(),
        });
    }

    fn done(&mut self, n: usize, now: Instant) {
        let call = &mut self.calls[n];
        if matches!(call.state, State::Done) {
            return;
        }
        call.state = State::Done;
        call.record.ended.get_or_insert(now);
        self.live[call.dial.kind as usize] -= 1;
        self.stage.done.fetch_add(1, Ordering::Relaxed);
    }

    fn tell(&self, notice: Notice) {
        // Nobody listens any more once the play is over.
        let _ = self.notices.send(notice);
    }

    /// Gives up waiting: CANCEL, once a 1xx was heard (RFC 3261 §9.1).
    fn give_up(&mut self, n: usize, now: Instant, out: &mut Out) {
        let call = &mut self.calls[n];
        call.giving_up = true;
        if !matches!(call.state, State::Proceeding) || call.cancel.is_some() {
            return;
        }
        let cancel = Request {
            method: "CANCEL",
            uri: &call.uri,
            own: self.own,
            branch: &call.branch,
            routes: &[],
            from: &call.from,
            to: &call.to,
            call_id: &call.record.call_id,
            cseq: 1,
            with_contact: false,
            body: "",
        }
        .write();
        out.push((self.proxy, cancel.clone()));
        call.cancel = Some(cancel);
        self.timers.set(now + T1, (n, Wake::Cancel(T1 * 2)));
    }

    fn hang_up(&mut self, n: usize, now: Instant, out: &mut Out) {
        let branch = self.branch();
        let call = &mut self.calls[n];
        if !matches!(call.state, State::Up) {
            return;
        }
        let Some(dialog) = &mut call.dialog else { return };
        call.bye = dialog.request("BYE", self.own, &branch);
        call.bye_branch = branch;
        call.state = State::Closing;
        call.record.ended = Some(now);
        if let Some(hop) = dialog.next_hop() {
            out.push((hop, call.bye.clone()));
        }
        self.timers.set(now + T1, (n, Wake::Bye(T1 * 2)));
        self.timers.set(now + T1_64, (n, Wake::ByeLost));
    }

    fn response(&mut self, msg: &Msg<'_>, status: u16, now: Instant, out: &mut Out) {
        let Some(n) = wire::call_id(msg).and_then(|id| self.by_call_id.get(&id).copied()) else { return };
        let (Ok(cseq), Some(branch)) = (msg.cseq(), wire::branch(msg)) else { return };
        let call = &mut self.calls[n];
        match cseq.method {
            Method::Invite if branch == call.branch => match status {
                100..=199 => {
                    if matches!(call.state, State::Calling) {
                        call.state = State::Proceeding;
                        if call.giving_up {
                            self.give_up(n, now, out);
                        }
                    }
                }
                200..=299 => self.answered(n, msg, status, now, out),
                _ => self.failed(n, msg, status, now, out),
            },
            Method::Cancel if branch == call.branch && status >= 200 => call.cancel_answered = true,
            Method::Bye if branch == call.bye_branch && status >= 200 => self.done(n, now),
            _ => {}
        }
    }

    fn answered(&mut self, n: usize, msg: &Msg<'_>, status: u16, now: Instant, out: &mut Out) {
        let ack_branch = self.branch();
        let call = &mut self.calls[n];
        let same = call.dialog.as_ref().is_some_and(|d| wire::to_tag(msg).as_ref() == Some(&d.remote_tag));
        if same {
            // The 2xx came again: our ACK was lost (RFC 3261 §13.2.2.4).
            if let Some(hop) = call.dialog.as_ref().and_then(Dialog::next_hop) {
                out.push((hop, call.ack.clone()));
            }
            return;
        }
        let Some(mut dialog) = Dialog::of_answer(msg, 1) else { return };
        let Some(hop) = dialog.next_hop() else { return };
        let ack = dialog.request("ACK", self.own, &ack_branch);
        out.push((hop, ack.clone()));
        if !matches!(call.state, State::Calling | State::Proceeding) {
            // Another branch of the fork answered too: a phone has one ear.
            let branch = self.branch();
            out.push((hop, dialog.request("BYE", self.own, &branch)));
            return;
        }
        call.ack = ack;
        call.dialog = Some(dialog);
        call.state = State::Up;
        call.record.code = status;
        call.record.answered = Some(now);
        self.stage.answered.fetch_add(1, Ordering::Relaxed);
        let (kind, hold, giving_up) = (call.dial.kind, call.dial.hold, call.giving_up);
        if kind != Kind::Legit {
            self.tell(Notice::Answered(kind, now));
        }
        if giving_up || self.curtain_seen {
            self.hang_up(n, now, out);
        } else {
            self.timers.set(now + hold, (n, Wake::HangUp));
        }
    }

    fn failed(&mut self, n: usize, msg: &Msg<'_>, status: u16, now: Instant, out: &mut Out) {
        let call = &mut self.calls[n];
        if call.record.answered.is_some() {
            return;
        }
        if call.ack.is_empty() {
            // The ACK to a failure belongs to the INVITE's transaction (RFC 3261 §17.1.1.3).
            let to = msg.header(Header::To).map(|v| String::from_utf8_lossy(v).into_owned());
            call.ack = Request {
                method: "ACK",
                uri: &call.uri,
                own: self.own,
                branch: &call.branch,
                routes: &[],
                from: &call.from,
                to: to.as_deref().unwrap_or(&call.to),
                call_id: &call.record.call_id,
                cseq: 1,
                with_contact: false,
                body: "",
            }
            .write();
        }
        out.push((self.proxy, call.ack.clone()));
        if matches!(call.state, State::Calling | State::Proceeding) {
            call.record.code = status;
            let kind = call.dial.kind;
            self.done(n, now);
            self.tell(Notice::Failed(kind, status, now));
        }
    }

    fn request(&mut self, msg: &Msg<'_>, method: Method<'_>, from: SocketAddr, now: Instant, out: &mut Out) {
        let known = wire::call_id(msg).and_then(|id| self.by_call_id.get(&id).copied());
        let known = known.filter(|n| self.calls[*n].dialog.as_ref().is_some_and(|d| wire::from_tag(msg).as_ref() == Some(&d.remote_tag)));
        let answer = |status, reason| wire::respond(msg, status, reason, "", None, "");
        match (method, known) {
            (Method::Ack, _) => {}
            (Method::Bye, Some(n)) => {
                out.push((from, answer(200, "OK")));
                if matches!(self.calls[n].state, State::Up) {
                    self.calls[n].record.ended_by_far_side = true;
                    let kind = self.calls[n].dial.kind;
                    self.done(n, now);
                    self.tell(Notice::CutOff(kind, now));
                }
            }
            (Method::Options | Method::Info, Some(_)) => out.push((from, answer(200, "OK"))),
            (_, Some(_)) => out.push((from, answer(488, "Not Acceptable Here"))),
            (_, None) => out.push((from, answer(481, "Call/Transaction Does Not Exist"))),
        }
    }

    fn wake(&mut self, n: usize, wake: Wake, now: Instant, out: &mut Out) {
        let call = &mut self.calls[n];
        match (wake, &call.state) {
            (Wake::Invite(next), State::Calling) => {
                out.push((self.proxy, call.invite.clone()));
                self.timers.set(now + next, (n, Wake::Invite(next * 2)));
            }
            (Wake::InviteLost, State::Calling) => {
                // RFC 3261 §8.1.3.1: as if a 408 had come.
                call.record.code = 408;
                self.done(n, now);
            }
            (Wake::Cancel(next), State::Proceeding) if !call.cancel_answered => {
                if let Some(cancel) = &call.cancel {
                    out.push((self.proxy, cancel.clone()));
                }
                self.timers.set(now + next, (n, Wake::Cancel((next * 2).min(T2))));
            }
            (Wake::Bye(next), State::Closing) => {
                if let Some(hop) = call.dialog.as_ref().and_then(Dialog::next_hop) {
                    out.push((hop, call.bye.clone()));
                }
                self.timers.set(now + next, (n, Wake::Bye((next * 2).min(T2))));
            }
            (Wake::ByeLost, State::Closing) => self.done(n, now),
            (Wake::Impatient, State::Calling | State::Proceeding) => self.give_up(n, now, out),
            (Wake::HangUp, State::Up) => self.hang_up(n, now, out),
            _ => {}
        }
    }

    fn curtain(&mut self, now: Instant, out: &mut Out) {
        self.curtain_seen = true;
        for n in 0..self.calls.len() {
            match self.calls[n].state {
                State::Calling | State::Proceeding => self.give_up(n, now, out),
                State::Up => self.hang_up(n, now, out),
                State::Closing | State::Done => {}
            }
        }
    }
}

impl Agent for Caller {
    fn handle(&mut self, bytes: &[u8], from: SocketAddr, now: Instant, out: &mut Out) {
        let Ok(msg) = Msg::parse(bytes) else { return };
        match msg.kind() {
            Line::Response { status, .. } => self.response(&msg, status, now, out),
            Line::Request { method, .. } => self.request(&msg, method, from, now, out),
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        if self.stage.curtain.load(Ordering::Relaxed) && !self.curtain_seen {
            self.curtain(now, out);
        }
        if self.stage.quiet.load(Ordering::Relaxed) {
            self.scripts.clear();
        }
        let mut dials = Vec::new();
        for script in &mut self.scripts {
            while script.due().is_some_and(|due| due <= now) {
                let live = self.live[script.kind() as usize];
                dials.extend(script.next(now, live));
            }
        }
        for dial in dials {
            self.place(dial, now, out);
        }
        while let Some((n, wake)) = self.timers.pop(now) {
            self.wake(n, wake, now, out);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.scripts.iter().filter_map(|s| s.due()).chain(self.timers.next_due()).min()
    }
}
