//! A SIP user agent for cases where each message matters: it sends exactly what it is told and repeats nothing by itself.
//! Its reading and writing of messages are its own, so that a mistake of the program's parser shows.

mod auto;
#[allow(dead_code)]
mod dialer;
mod message;
mod session;

use std::{
    cell::RefCell,
    collections::{HashSet, VecDeque},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

pub use auto::{AutoCarrier, Plan, Seen};
#[allow(unused_imports)]
pub use dialer::Dialer;
pub use message::Msg;
pub use session::{Leg, established, invite};

/// What must come comes by then, on however loaded a machine.
const PATIENCE: Duration = Duration::from_secs(6);

pub struct Ua {
    socket: UdpSocket,
    pub addr: SocketAddr,
    name: String,
    waiting: RefCell<VecDeque<Msg>>,
    seen: RefCell<HashSet<(SocketAddr, String)>>,
    repeats: RefCell<Vec<Msg>>,
    trace: RefCell<Vec<String>>,
    began: Instant,
}

/// Room for a burst of some thousand messages while the test looks elsewhere.
fn hold_bursts(socket: &UdpSocket) {
    let bytes: libc::c_int = 8 << 20;
    let size = size_of_val(&bytes) as libc::socklen_t;
    for option in [libc::SO_RCVBUF, libc::SO_RCVBUFFORCE] {
        // SAFETY: an open socket, and an option's value of its own size. Only root may force, then it is enough.
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const bytes).cast(), size) };
    }
}

/// A word that no other test has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Ua {
    pub fn at(name: &str, addr: SocketAddr) -> Ua {
        let socket = UdpSocket::bind(addr).unwrap_or_else(|e| panic!("{name} at {addr}: {e}"));
        let addr = socket.local_addr().expect("address");
        hold_bursts(&socket);
        Ua {
            socket,
            addr,
            name: name.to_owned(),
            waiting: RefCell::default(),
            seen: RefCell::default(),
            repeats: RefCell::default(),
            trace: RefCell::default(),
            began: Instant::now(),
        }
    }

    /// At any free port of an address.
    pub fn on(name: &str, ip: Ipv4Addr) -> Ua {
        Ua::at(name, SocketAddr::new(ip.into(), 0))
    }

    pub fn send(&self, to: SocketAddr, text: &str) {
        self.trace(format!(">> to {to}\n{text}"));
        self.send_bytes(to, text.as_bytes());
    }

    fn trace(&self, what: String) {
        self.trace.borrow_mut().push(format!("{:?} {what}", self.began.elapsed()));
    }

    pub fn send_bytes(&self, to: SocketAddr, bytes: &[u8]) {
        self.socket.send_to(bytes, to).unwrap_or_else(|e| panic!("{} to {to}: {e}", self.name));
    }

    /// Answers a request: its Vias, From, To, Call-ID and CSeq, then `more` (lines with CRLF) and a body.
    pub fn reply_with(&self, request: &Msg, status: u16, phrase: &str, tag: &str, more: &str, body: &str) {
        let text = request.reply(status, phrase, tag, more, body);
        self.send(request.from_addr, &text);
    }

    /// The same with a Contact of ours, without a body.
    pub fn reply(&self, request: &Msg, status: u16, phrase: &str, tag: &str) {
        let contact = if status > 100 && status < 300 { format!("Contact: <sip:{}>\r\n", self.addr) } else { String::new() };
        self.reply_with(request, status, phrase, tag, &contact, "");
    }

    /// The next datagram that was not here before, within `limit`.
    fn receive(&self, limit: Duration) -> Option<Msg> {
        let until = Instant::now() + limit;
        let mut buffer = vec![0; 65_536];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("timeout");
            let Ok((n, from)) = self.socket.recv_from(&mut buffer) else { continue };
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            self.trace(format!("<< from {from}\n{text}"));
            let msg = Msg::parse(&text, from);
            if self.seen.borrow_mut().insert((from, text)) {
                return Some(msg);
            }
            self.repeats.borrow_mut().push(msg);
        }
    }

    /// The first message that is `wanted`, of those waiting or to come; the others keep waiting. Repeated datagrams
    /// count once.
    #[track_caller]
    pub fn expect(&self, what: &str, wanted: impl Fn(&Msg) -> bool) -> Msg {
        match self.within(PATIENCE, &wanted) {
            Some(msg) => msg,
            None => {
                let trace = self.trace.borrow();
                panic!("{} never got {what}. Its last messages:\n{}", self.name, trace[trace.len().saturating_sub(60)..].join("\n"))
            }
        }
    }

    pub fn within(&self, limit: Duration, wanted: &impl Fn(&Msg) -> bool) -> Option<Msg> {
        let at = self.waiting.borrow().iter().position(wanted);
        if let Some(at) = at {
            return self.waiting.borrow_mut().remove(at);
        }
        let until = Instant::now() + limit;
        while let Some(msg) = self.receive(until.saturating_duration_since(Instant::now())) {
            if wanted(&msg) {
                return Some(msg);
            }
            self.waiting.borrow_mut().push_back(msg);
        }
        None
    }

    #[track_caller]
    pub fn request(&self, method: &str) -> Msg {
        self.expect(method, |m| m.method() == Some(method))
    }

    /// A final or provisional response to a request with this method in its CSeq.
    #[track_caller]
    pub fn response(&self, status: u16, method: &str) -> Msg {
        self.expect(&format!("{status} to {method}"), |m| m.status() == Some(status) && m.cseq().1 == method)
    }

    /// Nothing that is `unwanted` comes for that long, or is here.
    #[track_caller]
    pub fn never(&self, for_long: Duration, what: &str, unwanted: impl Fn(&Msg) -> bool) {
        if let Some(msg) = self.within(for_long, &unwanted) {
            panic!("{} got {what}:\n{}", self.name, msg.text);
        }
    }

    /// Datagrams that came once more and are `wanted`, up to now.
    pub fn repeated(&self, wanted: impl Fn(&Msg) -> bool) -> usize {
        while let Some(msg) = self.receive(Duration::from_millis(2)) {
            self.waiting.borrow_mut().push_back(msg);
        }
        self.repeats.borrow().iter().filter(|m| wanted(m)).count()
    }
}
