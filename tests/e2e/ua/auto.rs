//! A carrier that takes every call by itself, for loads: it keeps its transactions alive while the node is away and
//! records what it was asked.

use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{Leg, Msg, Ua, unique};

/// What a carrier does with a call.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// From the INVITE to 180, to 200.
    pub rings_after: Duration,
    pub answers_after: Duration,
    /// Ends the call with this instead.
    pub refuses: Option<u16>,
    /// From its ACK to a BYE of the carrier's own; none: the caller hangs up.
    pub hangs_up_after: Option<Duration>,
}

/// What became of a call, as the carrier saw it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub invited: Option<Instant>,
    pub answered: Option<Instant>,
    pub acked: Option<Instant>,
    /// A BYE came or the carrier's own was answered.
    pub ended: Option<Instant>,
    pub cancelled: bool,
    /// INVITEs with different branches: attempts.
    pub branches: usize,
}

pub struct AutoCarrier {
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A request or response that is repeated until it is answered.
struct Repeat {
    text: String,
    next: Instant,
    interval: Duration,
    until: Instant,
}

struct Call {
    invite: Msg,
    tag: String,
    ring_at: Option<Instant>,
    answer_at: Option<Instant>,
    bye_at: Option<Instant>,
    ok: Option<Repeat>,
    refused: Option<Repeat>,
    bye: Option<Repeat>,
}

const T1: Duration = Duration::from_millis(200);
const LIFE: Duration = Duration::from_secs(20);

impl Repeat {
    fn new(text: String, now: Instant) -> Repeat {
        Repeat { text, next: now, interval: T1, until: now + LIFE }
    }

    fn due(&mut self, now: Instant) -> bool {
        if now < self.next || now > self.until {
            return false;
        }
        self.next = now + self.interval;
        self.interval = (self.interval * 2).min(Duration::from_secs(1));
        true
    }
}

impl AutoCarrier {
    pub fn start(name: &'static str, at: SocketAddr, plan: impl Fn(&Msg) -> Plan + Send + 'static) -> AutoCarrier {
        let ua = Ua::at(name, at);
        let (seen, stop) = (Arc::new(Mutex::new(HashMap::new())), Arc::new(AtomicBool::new(false)));
        let (told, stopping) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut carrier = Carrier { addr: ua.addr, socket: ua.socket.try_clone().expect("socket"), name_of: ua, calls: HashMap::new(), seen: told };
            carrier.run(&plan, &stopping);
        });
        AutoCarrier { seen, stop, thread: Some(thread) }
    }

    /// What it knows, by Call-ID.
    pub fn seen(&self) -> HashMap<String, Seen> {
        self.seen.lock().expect("seen").clone()
    }
}

impl Drop for AutoCarrier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Carrier {
    addr: SocketAddr,
    socket: UdpSocket,
    /// For writing legs.
    name_of: Ua,
    calls: HashMap<String, Call>,
    seen: Arc<Mutex<HashMap<String, Seen>>>,
}

impl Carrier {
    fn run(&mut self, plan: &impl Fn(&Msg) -> Plan, stop: &AtomicBool) {
        self.socket.set_read_timeout(Some(Duration::from_millis(5))).expect("timeout");
        let mut buffer = vec![0; 65_536];
        let mut looked = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if let Ok((n, from)) = self.socket.recv_from(&mut buffer) {
                let msg = Msg::parse(&String::from_utf8_lossy(&buffer[..n]), from);
                self.take(&msg, plan);
            }
            if looked.elapsed() > Duration::from_millis(5) {
                looked = Instant::now();
                self.timers();
            }
        }
    }

    fn note(&self, call_id: &str, note: impl FnOnce(&mut Seen)) {
        note(self.seen.lock().expect("seen").entry(call_id.to_owned()).or_default());
    }

    fn reply(&self, request: &Msg, status: u16, phrase: &str, tag: &str) -> String {
        let contact = if status < 300 { format!("Contact: <sip:{}>\r\n", self.addr) } else { String::new() };
        let text = request.reply(status, phrase, tag, &contact, "");
        let _ = self.socket.send_to(text.as_bytes(), request.from_addr);
        text
    }

    fn take(&mut self, msg: &Msg, plan: &impl Fn(&Msg) -> Plan) {
        let now = Instant::now();
        let id = msg.call_id().to_owned();
        match msg.method() {
            Some("INVITE") => {
                let known = self.calls.get(&id).is_some_and(|c| c.invite.branch() == msg.branch());
                if known {
                    return;
                }
                self.note(&id, |s| {
                    s.invited.get_or_insert(now);
                    s.branches += 1;
                });
                let plan = plan(msg);
                self.reply(msg, 100, "Trying", "");
                let refused = plan.refuses.map(|status| Repeat::new(msg.reply(status, "Refused", "r", "", ""), now));
                let call = Call {
                    invite: msg.clone(),
                    tag: unique("to"),
                    ring_at: refused.is_none().then_some(now + plan.rings_after),
                    answer_at: refused.is_none().then_some(now + plan.answers_after),
                    refused,
                    bye_at: None,
                    ok: None,
                    bye: None,
                };
                self.calls.insert(id, call);
            }
            Some("ACK") => {
                let Some(call) = self.calls.get_mut(&id) else { return };
                call.refused = None;
                if call.ok.take().is_some() {
                    call.bye_at = plan(&call.invite).hangs_up_after.map(|d| now + d);
                    self.note(&id, |s| s.acked = Some(now));
                }
            }
            Some("CANCEL") => {
                self.reply(msg, 200, "OK", "c");
                let Some(call) = self.calls.get_mut(&id) else { return };
                if call.answer_at.take().is_some() {
                    call.ring_at = None;
                    let (invite, tag) = (call.invite.clone(), call.tag.clone());
                    self.reply(&invite, 487, "Request Terminated", &tag);
                    self.note(&id, |s| s.cancelled = true);
                }
            }
            Some("BYE") => {
                self.reply(msg, 200, "OK", "b");
                if let Some(call) = self.calls.get_mut(&id) {
                    (call.bye_at, call.bye, call.ok) = (None, None, None);
                }
                self.note(&id, |s| {
                    s.ended.get_or_insert(now);
                });
            }
            None if msg.cseq().1 == "BYE" && msg.status().is_some_and(|s| s >= 200) => {
                let Some(call) = self.calls.get_mut(&id) else { return };
                call.bye = None;
                self.note(&id, |s| {
                    s.ended.get_or_insert(now);
                });
            }
            _ => {}
        }
    }

    fn timers(&mut self) {
        let now = Instant::now();
        let mut calls = std::mem::take(&mut self.calls);
        for (id, call) in &mut calls {
            if call.ring_at.is_some_and(|t| t <= now) {
                call.ring_at = None;
                self.reply(&call.invite, 180, "Ringing", &call.tag);
            }
            if call.answer_at.is_some_and(|t| t <= now) {
                call.answer_at = None;
                let contact = format!("Contact: <sip:{}>\r\n", self.addr);
                call.ok = Some(Repeat::new(call.invite.reply(200, "OK", &call.tag, &contact, ""), now));
                self.note(id, |s| s.answered = Some(now));
            }
            if call.bye_at.is_some_and(|t| t <= now) {
                call.bye_at = None;
                let mut leg = Leg::callee(&self.name_of, &call.invite, &call.tag);
                call.bye = Some(Repeat::new(leg.next("BYE", "", ""), now));
            }
            for repeat in [&mut call.ok, &mut call.refused, &mut call.bye].into_iter().flatten() {
                if repeat.due(now) {
                    let _ = self.socket.send_to(repeat.text.as_bytes(), call.invite.from_addr);
                }
            }
        }
        self.calls = calls;
    }
}
