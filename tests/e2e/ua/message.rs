//! A SIP message as text.

use std::net::SocketAddr;

#[derive(Debug, Clone)]
pub struct Msg {
    pub text: String,
    pub from_addr: SocketAddr,
    start: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Msg {
    pub fn parse(text: &str, from_addr: SocketAddr) -> Msg {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.trim().to_lowercase(), v.trim().to_owned())).collect();
        Msg { text: text.to_owned(), from_addr, start, headers, body: body.to_owned() }
    }

    pub fn method(&self) -> Option<&str> {
        self.start.ends_with("SIP/2.0").then(|| self.start.split(' ').next()).flatten()
    }

    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Every value of a header, as its lines have them.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    pub fn cseq(&self) -> (u32, &str) {
        let (number, method) = self.header("CSeq").split_once(' ').unwrap_or_default();
        (number.parse().unwrap_or_default(), method.trim())
    }

    pub fn call_id(&self) -> &str {
        self.header("Call-ID")
    }

    pub fn to_tag(&self) -> &str {
        tag(self.header("To"))
    }

    pub fn from_tag(&self) -> &str {
        tag(self.header("From"))
    }

    pub fn branch(&self) -> &str {
        param(self.header("Via"), "branch")
    }

    /// The Contact's URI.
    pub fn contact(&self) -> &str {
        let value = self.header("Contact");
        value.split_once('<').and_then(|(_, r)| r.split_once('>')).map_or(value, |(uri, _)| uri)
    }

    /// A response to this request. `tag` goes on To where it has none.
    pub fn reply(&self, status: u16, phrase: &str, tag: &str, more: &str, body: &str) -> String {
        let mut text = format!("SIP/2.0 {status} {phrase}\r\n");
        for via in self.all("Via") {
            text += &format!("Via: {via}\r\n");
        }
        if (101..300).contains(&status) {
            for route in self.all("Record-Route") {
                text += &format!("Record-Route: {route}\r\n");
            }
        }
        let to = self.header("To");
        let to_tag = if self.to_tag().is_empty() && !tag.is_empty() { format!(";tag={tag}") } else { String::new() };
        text += &format!("From: {}\r\nTo: {to}{to_tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n", self.header("From"), self.call_id(), self.header("CSeq"));
        text += more;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        text + &format!("{kind}Content-Length: {}\r\n\r\n{body}", body.len())
    }
}

/// A parameter after the `>` of a name-addr, or anywhere in a Via.
pub fn param<'a>(value: &'a str, name: &str) -> &'a str {
    let after = value.rsplit_once('>').map_or(value, |(_, after)| after);
    after.split(';').filter_map(|p| p.split_once('=')).find(|(n, _)| n.trim() == name).map_or("", |(_, v)| v.trim())
}

fn tag(value: &str) -> &str {
    param(value, "tag")
}
