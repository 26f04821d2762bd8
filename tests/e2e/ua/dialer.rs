//! A caller for loads: it answers by itself whatever comes back.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{Leg, Msg, Ua};

pub struct Dialer {
    /// For writing legs and sending.
    ua: Ua,
    node: SocketAddr,
    calls: Arc<Mutex<HashMap<String, (Leg, Option<u16>)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dialer {
    pub fn start(ip: Ipv4Addr, node: SocketAddr) -> Dialer {
        let ua = Ua::on("dialer", ip);
        let calls: Arc<Mutex<HashMap<String, (Leg, Option<u16>)>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (socket, known, stopping) = (ua.socket.try_clone().expect("socket"), calls.clone(), stop.clone());
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("timeout");
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stopping.load(Ordering::Relaxed) {
                let Ok((n, from)) = socket.recv_from(&mut buffer) else { continue };
                let msg = Msg::parse(&String::from_utf8_lossy(&buffer[..n]), from);
                let back = if msg.method() == Some("BYE") {
                    Some(msg.reply(200, "OK", "x", "", ""))
                } else {
                    let mut calls = known.lock().expect("calls");
                    calls.get_mut(msg.call_id()).and_then(|call| take(call, &msg))
                };
                if let Some(text) = back {
                    let _ = socket.send_to(text.as_bytes(), from);
                }
            }
        });
        Dialer { ua, node, calls, stop, thread: Some(thread) }
    }

    /// Calls a number; gives the Call-ID.
    pub fn call(&self, number: &str) -> String {
        self.call_with(number, "v=0\r\n")
    }

    /// The same with a body of one's choice.
    pub fn call_with(&self, number: &str, sdp: &str) -> String {
        let leg = Leg::new(&self.ua, self.node, number);
        let (id, text) = (leg.call_id.clone(), leg.write("INVITE", &leg.branch, leg.cseq, "", sdp));
        self.calls.lock().expect("calls").insert(id.clone(), (leg, None));
        let _ = self.ua.socket.send_to(text.as_bytes(), self.node);
        id
    }

    /// Calls without a final response.
    pub fn waiting(&self) -> usize {
        self.calls.lock().expect("calls").values().filter(|(_, status)| status.is_none()).count()
    }
}

/// The ACK of a final response to an INVITE.
fn take((leg, status): &mut (Leg, Option<u16>), msg: &Msg) -> Option<String> {
    let code = msg.status().filter(|s| *s >= 200 && msg.cseq().1 == "INVITE")?;
    *status = Some(code);
    Some(if code < 300 { leg.confirmed(msg).ack() } else { leg.ack_failure(msg) })
}

impl Drop for Dialer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
