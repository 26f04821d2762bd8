//! One side of a call: what it needs for its next request.

use std::net::SocketAddr;

use super::{Msg, Ua, unique};

/// A side's view of its dialog, or of the one it wants to begin.
#[derive(Debug, Clone)]
pub struct Leg {
    pub call_id: String,
    /// From and To as this side writes them, with their tags.
    pub local: String,
    pub remote: String,
    pub target: String,
    pub routes: Vec<String>,
    pub cseq: u32,
    /// Of the INVITE.
    pub branch: String,
    contact: SocketAddr,
    node: SocketAddr,
}

impl Leg {
    /// A caller's leg before its INVITE; without a number it is to the node itself.
    pub fn new(ua: &Ua, node: SocketAddr, number: &str) -> Leg {
        let target = if number.is_empty() { format!("sip:{node}") } else { format!("sip:{number}@{node}") };
        Leg {
            call_id: unique("call-"),
            local: format!("<sip:12125550199@{}>;tag={}", ua.addr, unique("from")),
            remote: format!("<{target}>"),
            target,
            routes: Vec::new(),
            cseq: 1,
            branch: unique("z9hG4bK-"),
            contact: ua.addr,
            node,
        }
    }

    /// The caller's leg after a response that makes a dialog.
    pub fn confirmed(&self, ok: &Msg) -> Leg {
        let mut leg = self.clone();
        leg.remote = ok.header("To").to_owned();
        leg.target = ok.contact().to_owned();
        leg.routes = ok.all("Record-Route").into_iter().rev().map(str::to_owned).collect();
        leg
    }

    /// The callee's leg of the call that came with this INVITE, answered with `tag`.
    pub fn callee(ua: &Ua, invite: &Msg, tag: &str) -> Leg {
        Leg {
            call_id: invite.call_id().to_owned(),
            local: format!("{};tag={tag}", invite.header("To")),
            remote: invite.header("From").to_owned(),
            target: invite.contact().to_owned(),
            routes: invite.all("Record-Route").into_iter().map(str::to_owned).collect(),
            cseq: 0,
            branch: String::new(),
            contact: ua.addr,
            node: invite.from_addr,
        }
    }

    /// A request with a branch and a CSeq number of one's choice.
    pub fn write(&self, method: &str, branch: &str, cseq: u32, more: &str, body: &str) -> String {
        let mut text = format!("{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={branch};rport\r\nMax-Forwards: 70\r\n", self.target, self.contact);
        for route in &self.routes {
            text += &format!("Route: {route}\r\n");
        }
        text += &format!("From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n", self.local, self.remote, self.call_id);
        if matches!(method, "INVITE" | "UPDATE") {
            text += &format!("Contact: <sip:{}>\r\n", self.contact);
        }
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        text + &format!("{more}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    /// The INVITE that begins the call.
    pub fn invite(&self, more: &str) -> String {
        self.write("INVITE", &self.branch, self.cseq, more, "v=0\r\n")
    }

    /// The CANCEL of it.
    pub fn cancel(&self) -> String {
        self.write("CANCEL", &self.branch, self.cseq, "", "")
    }

    /// The hop's ACK of a failure.
    pub fn ack_failure(&self, response: &Msg) -> String {
        let leg = Leg { remote: response.header("To").to_owned(), ..self.clone() };
        leg.write("ACK", &self.branch, self.cseq, "", "")
    }

    /// The ACK of an answer: end to end, with a branch of its own.
    pub fn ack(&self) -> String {
        self.write("ACK", &unique("z9hG4bK-"), self.cseq, "", "")
    }

    /// The next request in the dialog.
    pub fn next(&mut self, method: &str, more: &str, body: &str) -> String {
        self.cseq += 1;
        self.write(method, &unique("z9hG4bK-"), self.cseq, more, body)
    }

    pub fn node(&self) -> SocketAddr {
        self.node
    }
}

/// Sends an INVITE for `number`.
pub fn invite(caller: &Ua, node: SocketAddr, number: &str) -> Leg {
    let leg = Leg::new(caller, node, number);
    caller.send(node, &leg.invite(""));
    leg
}

/// A call that is up: rung, answered and acknowledged. Gives the caller's leg and the callee's.
#[track_caller]
pub fn established(caller: &Ua, carrier: &Ua, node: SocketAddr, number: &str) -> (Leg, Leg) {
    let leg = invite(caller, node, number);
    let got = carrier.expect("the INVITE", |m| m.method() == Some("INVITE") && m.call_id() == leg.call_id);
    let tag = unique("to");
    carrier.reply(&got, 180, "Ringing", &tag);
    caller.expect("180", |m| m.status() == Some(180) && m.call_id() == leg.call_id);
    carrier.reply(&got, 200, "OK", &tag);
    let ok = caller.expect("200", |m| m.status() == Some(200) && m.call_id() == leg.call_id && m.cseq().1 == "INVITE");
    let leg = leg.confirmed(&ok);
    caller.send(node, &leg.ack());
    carrier.expect("the ACK", |m| m.method() == Some("ACK") && m.call_id() == leg.call_id);
    (leg, Leg::callee(carrier, &got, &tag))
}
