//! ENUM (RFC 6116) as a source of portability: a question for NAPTR records about a number, and what its answer says by the
//! enumservice `pstn:tel` (RFC 4769), as `tel:+12125550100;npdi;rn=+12015550000`. Datagrams only; sockets are elsewhere.
//!
//! Strict: another id, another question or a truncated, compressed in circles or overlong datagram is no answer. Aliases
//! (CNAME) are not followed. The expressions read are the two of RFC 4769, `^.*$` and `^(.*)$`.

use tollgate_schemas::{
    number::E164,
    parties::Place,
    portability::{Ported, Told},
};

/// Bytes of an answer we say we take (RFC 6891), as resolvers do.
pub const MAX_ANSWER: usize = 1_232;
const HEADER: usize = 12;
const NAPTR: u16 = 35;
const OPT: u16 = 41;
const IN: u16 = 1;
/// Of a name, with its length bytes (RFC 1035 §2.3.4).
const MAX_NAME: usize = 255;

/// Why a datagram is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// Of another question, or none: the real one may still come.
    #[error("an answer to another question")]
    NotOurs,
    #[error("the answer is cut short: {0}")]
    Broken(&'static str),
    #[error("the server says {0}")]
    Refused(&'static str),
    #[error("the record says {0}")]
    Record(String),
}

/// The name a number is found under: its digits from the last to the first, and the zone.
pub fn name_of(number: &E164, suffix: &str) -> String {
    let mut name = String::with_capacity(2 * number.digits().len() + suffix.len());
    for digit in number.digits().chars().rev() {
        name.push(digit);
        name.push('.');
    }
    name + suffix.trim_matches('.')
}

/// What is wrong with a zone, if anything: labels of 1 to 63 letters, digits, `-` and `_`, short enough for fifteen digits before.
pub fn suffix_problem(suffix: &str) -> Option<String> {
    let bare = suffix.trim_matches('.');
    let good = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !bare.split('.').all(good) {
        return Some(format!("'{suffix}' is no zone: want as \"e164.arpa\""));
    }
    (bare.len() > MAX_NAME - 2 - 2 * 15).then(|| format!("'{suffix}' is too long for a zone"))
}

/// The question, as it goes into one datagram.
pub fn question(id: u16, number: &E164, suffix: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.extend_from_slice(&id.to_be_bytes());
    // Recursion desired; one question, one additional record: OPT with our size.
    out.extend_from_slice(&[0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name_of(number, suffix).split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&NAPTR.to_be_bytes());
    out.extend_from_slice(&IN.to_be_bytes());
    out.push(0);
    out.extend_from_slice(&OPT.to_be_bytes());
    out.extend_from_slice(&(MAX_ANSWER as u16).to_be_bytes());
    out.extend_from_slice(&[0; 6]);
    out
}

/// Reads one datagram as the answer to a question. A number without a record is not ported, as far as is known.
pub fn answer(id: u16, number: &E164, suffix: &str, datagram: &[u8]) -> Result<Ported, DnsError> {
    let mut at = Reader { bytes: datagram, at: 0 };
    let ours = name_of(number, suffix);
    // What does not even say that it is ours is somebody else's, however broken.
    let Ok(Some((flags, answers))) = head(&mut at, id, &ours) else { return Err(DnsError::NotOurs) };
    if flags & 0x0200 != 0 {
        return Err(DnsError::Broken("it has more than one datagram holds"));
    }
    match flags & 0xf {
        0 => {}
        3 => return Ok(Ported::default()),
        1 => return Err(DnsError::Refused("FORMERR")),
        2 => return Err(DnsError::Refused("SERVFAIL")),
        4 => return Err(DnsError::Refused("NOTIMP")),
        5 => return Err(DnsError::Refused("REFUSED")),
        _ => return Err(DnsError::Refused("an error we do not know")),
    }
    let mut best: Option<((u16, u16), &[u8])> = None;
    for _ in 0..answers {
        let owner = at.name()?;
        let (kind, class) = (at.u16()?, at.u16()?);
        at.take(4)?;
        let length = usize::from(at.u16()?);
        let data = at.take(length)?;
        if kind != NAPTR || class != IN || !owner.eq_ignore_ascii_case(&ours) {
            continue;
        }
        let mut record = Reader { bytes: data, at: 0 };
        let rank = (record.u16()?, record.u16()?);
        let (flags, service, expression) = (record.text()?, record.text()?, record.text()?);
        if is_pstn_tel(service) && flags.eq_ignore_ascii_case(b"u") && best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, expression));
        }
    }
    best.map_or(Ok(Ported::default()), |(_, expression)| ported(number, expression))
}

/// Flags and number of answers of a response with our id and our question.
fn head(at: &mut Reader<'_>, id: u16, ours: &str) -> Result<Option<(u16, u16)>, DnsError> {
    let (got, flags) = (at.u16()?, at.u16()?);
    let [questions, answers, _, _] = [at.u16()?, at.u16()?, at.u16()?, at.u16()?];
    let is_response = flags & 0x8000 != 0;
    let opcode = flags >> 11 & 0xf;
    let asked = at.name()?;
    let question = asked.eq_ignore_ascii_case(ours) && (at.u16()?, at.u16()?) == (NAPTR, IN);
    Ok((got == id && is_response && opcode == 0 && questions == 1 && question).then_some((flags, answers)))
}

/// `E2U+pstn:tel`, alone or among others.
fn is_pstn_tel(service: &[u8]) -> bool {
    let mut parts = service.split(|b| *b == b'+');
    parts.next().is_some_and(|p| p.eq_ignore_ascii_case(b"E2U")) && parts.any(|p| p.eq_ignore_ascii_case(b"pstn:tel"))
}

/// What `!^.*$!tel:…!` says.
fn ported(number: &E164, expression: &[u8]) -> Result<Ported, DnsError> {
    let wrong = |what: &str| DnsError::Record(format!("'{}': {what}", String::from_utf8_lossy(expression)));
    let text = std::str::from_utf8(expression).map_err(|_| wrong("no text"))?;
    let mark = text.chars().next().filter(|c| c.is_ascii_punctuation() && *c != '\\').ok_or_else(|| wrong("no delimiter"))?;
    let parts: Vec<&str> = text.split(mark).collect();
    let ["", pattern, replacement, "" | "i"] = parts[..] else { return Err(wrong("want delimiter, pattern, URI, delimiter")) };
    let uri = match pattern {
        "^.*$" => replacement.to_owned(),
        "^(.*)$" => replacement.replace("\\1", &format!("+{}", number.digits())),
        _ => return Err(wrong("want the pattern ^.*$ or ^(.*)$")),
    };
    let user = uri.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("tel:")).map(|_| &uri[4..]).ok_or_else(|| wrong("no tel URI"))?;
    if user.contains('\\') {
        return Err(wrong("what is a backslash for here?"));
    }
    let told = Told::of(user);
    if user.to_ascii_lowercase().contains(";rn=") && told.rn.is_none() {
        return Err(wrong("rn is no number"));
    }
    Ok(Ported { lrn: told.rn, place: Place::default() })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], DnsError> {
        let out = self.bytes.get(self.at..self.at + n).ok_or(DnsError::Broken("it ends too early"))?;
        self.at += n;
        Ok(out)
    }

    fn u8(&mut self) -> Result<u8, DnsError> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, DnsError> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    /// A character-string.
    fn text(&mut self) -> Result<&'a [u8], DnsError> {
        let length = usize::from(self.u8()?);
        self.take(length)
    }

    /// A domain name, perhaps compressed. A pointer goes to what came before the name it is in, and each to before the last,
    /// so that there are no circles.
    fn name(&mut self) -> Result<String, DnsError> {
        let mut out = String::new();
        let (mut at, mut floor, mut after) = (self.at, self.at, None);
        loop {
            let length = *self.bytes.get(at).ok_or(DnsError::Broken("a name ends too early"))?;
            match length {
                0 => {
                    self.at = after.unwrap_or(at + 1);
                    return Ok(out);
                }
                1..=63 => {
                    let label = self.bytes.get(at + 1..at + 1 + usize::from(length)).ok_or(DnsError::Broken("a label ends too early"))?;
                    if out.len() + label.len() + 2 > MAX_NAME {
                        return Err(DnsError::Broken("a name is too long"));
                    }
                    if !out.is_empty() {
                        out.push('.');
                    }
                    // A dot or a byte beyond ASCII in a label makes it a name that is not ours.
                    out.extend(label.iter().map(|b| if b.is_ascii_graphic() && *b != b'.' { char::from(*b) } else { '?' }));
                    at += 1 + usize::from(length);
                }
                0xc0.. => {
                    let low = *self.bytes.get(at + 1).ok_or(DnsError::Broken("a pointer ends too early"))?;
                    let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                    if target >= floor || target < HEADER {
                        return Err(DnsError::Broken("a pointer does not go back"));
                    }
                    after.get_or_insert(at + 2);
                    (at, floor) = (target, target);
                }
                _ => return Err(DnsError::Broken("a label of a kind there is not")),
            }
        }
    }
}

#[cfg(test)]
mod tests;
