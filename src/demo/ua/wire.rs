//! What both sides of a simulated call need of SIP: requests and responses written out, dialogs, and the intervals of
//! RFC 3261 §17 over UDP. Messages are read with the proxy's own message layer.

use std::{fmt::Write, net::SocketAddr, time::Duration};

use tollgate_proxy::sip::msg::{Header, Msg, Uri};

pub const T1: Duration = Duration::from_millis(500);
pub const T2: Duration = Duration::from_secs(4);
/// Timers B, F and H.
pub const T1_64: Duration = Duration::from_secs(32);

/// A body both sides can be content with: one audio stream that nobody sends.
pub fn sdp(own: SocketAddr) -> String {
    let ip = own.ip();
    format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n")
}

/// A request to be written.
pub struct Request<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    pub own: SocketAddr,
    pub branch: &'a str,
    /// Route values, next hop first.
    pub routes: &'a [String],
    /// From and To values with their tags.
    pub from: &'a str,
    pub to: &'a str,
    pub call_id: &'a str,
    pub cseq: u32,
    pub with_contact: bool,
    pub body: &'a str,
}

impl Request<'_> {
    pub fn write(&self) -> Vec<u8> {
        let mut text = String::with_capacity(640 + self.body.len());
        let _ = write!(text, "{} {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={};rport\r\nMax-Forwards: 70\r\n", self.method, self.uri, self.own, self.branch);
        for route in self.routes {
            let _ = write!(text, "Route: {route}\r\n");
        }
        let _ = write!(text, "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {}\r\n", self.from, self.to, self.call_id, self.cseq, self.method);
        if self.with_contact {
            let _ = write!(text, "Contact: <sip:{}>\r\nUser-Agent: tollgate-demo\r\n", self.own);
        }
        close(&mut text, self.body);
        text.into_bytes()
    }
}

fn close(text: &mut String, body: &str) {
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
}

/// A response to a request: Via, From, To, Call-ID, CSeq and, for what makes a dialog, Record-Route copied
/// (RFC 3261 §8.2.6, §12.1.1). `to_tag` is added when To has none; empty for 100.
pub fn respond(request: &Msg<'_>, status: u16, reason: &str, to_tag: &str, contact: Option<SocketAddr>, body: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(512 + body.len());
    text.extend_from_slice(format!("SIP/2.0 {status} {reason}\r\n").as_bytes());
    for (header, name, value) in request.headers_known() {
        let copied = matches!(header, Header::Via | Header::From | Header::To | Header::CallId | Header::CSeq)
            || header == Header::RecordRoute && contact.is_some();
        if !copied {
            continue;
        }
        for part in [name, b": ".as_slice(), value] {
            text.extend_from_slice(part);
        }
        if header == Header::To && !to_tag.is_empty() && request.to().is_ok_and(|to| to.tag().is_none()) {
            text.extend_from_slice(format!(";tag={to_tag}").as_bytes());
        }
        text.extend_from_slice(b"\r\n");
    }
    let mut tail = String::new();
    if let Some(own) = contact {
        let _ = write!(tail, "Contact: <sip:{own}>\r\n");
    }
    close(&mut tail, body);
    text.extend_from_slice(tail.as_bytes());
    text
}

/// Who a message belongs to, as text.
pub fn call_id(msg: &Msg<'_>) -> Option<String> {
    msg.call_id().ok().map(text)
}

pub fn branch(msg: &Msg<'_>) -> Option<String> {
    msg.top_via().ok()?.branch.map(text)
}

pub fn to_tag(msg: &Msg<'_>) -> Option<String> {
    msg.to().ok()?.tag().map(text)
}

pub fn from_tag(msg: &Msg<'_>) -> Option<String> {
    msg.from().ok()?.tag().map(text)
}

/// The user part of the Request-URI, without a leading plus; a URN whole.
pub fn dialled(msg: &Msg<'_>) -> Option<String> {
    let uri = Uri::parse(msg.at(msg.uri_span()?)).ok()?;
    let user = text(uri.user.unwrap_or(uri.opaque));
    Some(user.strip_prefix('+').map(str::to_owned).unwrap_or(user))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where a URI of an IP address is reached.
fn address(uri: &str) -> Option<SocketAddr> {
    let uri = Uri::parse(uri.as_bytes()).ok()?;
    let ip = std::str::from_utf8(uri.host).ok()?.trim_matches(['[', ']']).parse().ok()?;
    Some(SocketAddr::new(ip, uri.port.unwrap_or(5060)))
}

/// A dialog as one side keeps it (RFC 3261 §12).
#[derive(Debug, Clone)]
pub struct Dialog {
    pub call_id: String,
    /// From and To of requests this side sends.
    pub local: String,
    pub remote: String,
    pub remote_tag: String,
    /// The other side's Contact.
    pub target: String,
    pub routes: Vec<String>,
    /// Of the last request this side sent.
    pub cseq: u32,
}

impl Dialog {
    /// The caller's dialog, of the 2xx to its INVITE: the route set is Record-Route backwards (§12.1.2).
    pub fn of_answer(answer: &Msg<'_>, invite_cseq: u32) -> Option<Dialog> {
        let mut routes: Vec<String> = answer.values(Header::RecordRoute).map(|v| text(v.bytes)).collect();
        routes.reverse();
        Some(Dialog {
            call_id: call_id(answer)?,
            local: text(answer.header(Header::From)?),
            remote: text(answer.header(Header::To)?),
            remote_tag: to_tag(answer)?,
            target: text(answer.contact().ok()??.uri),
            routes,
            cseq: invite_cseq,
        })
    }

    /// The carrier's dialog, of the INVITE it answers (§12.1.1).
    pub fn of_invite(invite: &Msg<'_>, own_tag: &str) -> Option<Dialog> {
        Some(Dialog {
            call_id: call_id(invite)?,
            local: format!("{};tag={own_tag}", text(invite.header(Header::To)?)),
            remote: text(invite.header(Header::From)?),
            remote_tag: from_tag(invite)?,
            target: text(invite.contact().ok()??.uri),
            routes: invite.values(Header::RecordRoute).map(|v| text(v.bytes)).collect(),
            cseq: 0,
        })
    }

    /// Where requests of this dialog go: the first route, else the target.
    pub fn next_hop(&self) -> Option<SocketAddr> {
        match self.routes.first() {
            Some(route) => address(route.trim_start_matches('<').split('>').next()?),
            None => address(&self.target),
        }
    }

    /// A request within the dialog; ACK takes the INVITE's number, any other the next one.
    pub fn request(&mut self, method: &str, own: SocketAddr, branch: &str) -> Vec<u8> {
        if method != "ACK" {
            self.cseq += 1;
        }
        Request {
            method,
            uri: &self.target,
            own,
            branch,
            routes: &self.routes,
            from: &self.local,
            to: &self.remote,
            call_id: &self.call_id,
            cseq: self.cseq,
            with_contact: false,
            body: "",
        }
        .write()
    }
}
