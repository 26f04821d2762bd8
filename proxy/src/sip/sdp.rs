//! What is read of a session description (RFC 8866): the class of the codec that an offer prefers (R-37). Nothing of it is changed.
//!
//! The first stream with a port is asked, and of its formats the first that is known here (RFC 3264 §5.1: the offerer's order of
//! preference); a stream without one gives way to the next. A fax that begins as speech and turns to T.38 in a later offer stays
//! what it began as. The description is the body, or the part of a multipart body that is one (RFC 5621).

use tollgate_schemas::codec::CodecClass;

use super::msg::{Header, Msg};

/// Formats looked at in one stream.
const MAX_FORMATS: usize = 32;
/// What goes with a codec and is none.
const HELPERS: [&[u8]; 9] = [b"telephone-event", b"tone", b"CN", b"red", b"rtx", b"ulpfec", b"parityfec", b"flexfec", b"clearmode"];

/// The class of a request's offer.
pub fn codec_class(msg: &Msg<'_>) -> CodecClass {
    let Some(kind) = msg.header(Header::ContentType) else { return CodecClass::Unknown };
    let kind = kind.trim_ascii();
    let mut streams = Streams::default();
    if is_sdp(kind) {
        return streams.of(lines(msg.body()));
    }
    match boundary(kind) {
        Some(boundary) => streams.of(part(msg.body(), boundary)),
        None => CodecClass::Unknown,
    }
}

fn starts(line: &[u8], with: &[u8]) -> bool {
    line.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with))
}

fn is_sdp(kind: &[u8]) -> bool {
    let media_type = kind.split(|b| *b == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"application/sdp")
}

/// Of a multipart body.
fn boundary(kind: &[u8]) -> Option<&[u8]> {
    let mut params = kind.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    params.next().filter(|kind| starts(kind, b"multipart/"))?;
    let value = params.find_map(|p| p.get(9..).filter(|_| starts(p, b"boundary=")))?;
    Some(value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value)).filter(|b| !b.is_empty())
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The lines of the first part that is a description.
fn part<'b>(body: &'b [u8], boundary: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
    let delimits = move |line: &&[u8]| line.strip_prefix(b"--").is_some_and(|l| l.starts_with(boundary));
    let mut lines = lines(body);
    let mut found = false;
    while !found && lines.any(|line| delimits(&line)) {
        for head in lines.by_ref().take_while(|l| !l.is_empty()) {
            let (name, value) = head.split_at(head.iter().position(|b| *b == b':').unwrap_or(head.len()));
            found |= name.trim_ascii().eq_ignore_ascii_case(b"content-type") && value.get(1..).is_some_and(|v| is_sdp(v.trim_ascii()));
        }
    }
    lines.take_while(move |line| found && !delimits(line))
}

/// The stream that is being read.
#[derive(Default)]
struct Streams<'b> {
    /// Numbers or names of its formats, by preference, and what is known of each.
    formats: [(&'b [u8], CodecClass); MAX_FORMATS],
    len: usize,
}

impl<'b> Streams<'b> {
    fn of(&mut self, lines: impl Iterator<Item = &'b [u8]>) -> CodecClass {
        for line in lines {
            if let Some(media) = line.strip_prefix(b"m=") {
                let class = self.preferred();
                if class != CodecClass::Unknown {
                    return class;
                }
                self.begin(media);
            } else if let Some(map) = line.strip_prefix(b"a=rtpmap:") {
                self.map(map);
            }
        }
        self.preferred()
    }

    fn preferred(&self) -> CodecClass {
        self.formats[..self.len].iter().map(|f| f.1).find(|c| *c != CodecClass::Unknown).unwrap_or_default()
    }

    /// `audio 49170 RTP/AVP 0 8 97`; a port of 0 is a stream that is switched off.
    fn begin(&mut self, media: &'b [u8]) {
        self.len = 0;
        let mut words = media.split(|b| *b == b' ').filter(|w| !w.is_empty());
        let (Some(kind), Some(port), Some(_)) = (words.next(), words.next(), words.next()) else { return };
        if port == b"0" {
            return;
        }
        let class: fn(&[u8]) -> CodecClass = match () {
            () if kind.eq_ignore_ascii_case(b"audio") => of_static,
            () if kind.eq_ignore_ascii_case(b"image") => |format| if format.eq_ignore_ascii_case(b"t38") { CodecClass::Fax } else { CodecClass::Unknown },
            () => return,
        };
        for format in words.take(MAX_FORMATS) {
            self.formats[self.len] = (format, class(format));
            self.len += 1;
        }
    }

    /// `97 iLBC/8000`: names a format, over what its number means by itself.
    fn map(&mut self, map: &'b [u8]) {
        let Some(space) = map.iter().position(|b| *b == b' ') else { return };
        let (format, encoding) = map.split_at(space);
        if let Some(known) = self.formats[..self.len].iter_mut().find(|f| f.0 == format) {
            known.1 = of_encoding(encoding.trim_ascii());
        }
    }
}

/// RFC 3551 §6: numbers that mean a codec without being named.
fn of_static(format: &[u8]) -> CodecClass {
    match format {
        b"0" | b"3" | b"4" | b"5" | b"7" | b"8" | b"12" | b"15" | b"16" | b"18" => CodecClass::Narrowband,
        b"6" | b"9" | b"10" | b"11" | b"17" => CodecClass::Wideband,
        _ => CodecClass::Unknown,
    }
}

/// Of `NAME/CLOCK[/CHANNELS]`: by its clock, but G.722, whose clock is 8000 by mistake (RFC 3551 §4.5.2).
fn of_encoding(encoding: &[u8]) -> CodecClass {
    let mut parts = encoding.split(|b| *b == b'/');
    let name = parts.next().unwrap_or_default();
    let clock = parts.next().and_then(|c| std::str::from_utf8(c).ok()).and_then(|c| c.trim().parse::<u32>().ok());
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    match clock {
        _ if HELPERS.iter().any(|h| is(h)) => CodecClass::Unknown,
        _ if is(b"t38") => CodecClass::Fax,
        _ if is(b"G722") => CodecClass::Wideband,
        Some(8_000..16_000) => CodecClass::Narrowband,
        // MPEG's clock says nothing of its band; no other audio has it.
        Some(16_000..90_000) => CodecClass::Wideband,
        _ => CodecClass::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(kind: &str, body: &str) -> &'static str {
        let text = format!(
            "INVITE sip:1@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nMax-Forwards: 70\r\nFrom: <sip:2@192.0.2.1>;tag=a\r\n\
             To: <sip:1@192.0.2.9>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:2@192.0.2.1>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        codec_class(&Msg::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e:?}"))).name()
    }

    fn offer(streams: &str) -> &'static str {
        let body = format!("v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{}", streams.replace('|', "\r\n"));
        class_of("Content-Type: application/sdp\r\n", &body)
    }

    #[test]
    fn r_37_the_class_is_that_of_the_first_format_that_is_known() {
        for (streams, want) in [
            ("m=audio 4000 RTP/AVP 0 8 101|a=rtpmap:101 telephone-event/8000|", "narrowband"),
            ("m=audio 4000 RTP/AVP 18|", "narrowband"),
            ("m=audio 4000 RTP/AVP 9 0|", "wideband"),
            ("m=audio 4000 RTP/AVP 0 9|", "narrowband"),
            // Helpers come first and say nothing; maps come in any order.
            ("m=audio 4000 RTP/AVP 101 96 0|a=rtpmap:0 PCMU/8000|a=rtpmap:96 opus/48000/2|a=rtpmap:101 telephone-event/48000|", "wideband"),
            ("m=audio 4000 RTP/SAVP 97|a=rtpmap:97 iLBC/8000|a=fmtp:97 mode=30|", "narrowband"),
            ("m=audio 4000 RTP/AVP 98|a=rtpmap:98 AMR-WB/16000|", "wideband"),
            ("m=audio 4000 RTP/AVP 98|a=rtpmap:98 AMR/8000|", "narrowband"),
            ("m=audio 4000 RTP/AVP 98|a=rtpmap:98 G722/8000|", "wideband"),
            ("m=audio 4000 RTP/AVP 13 99|a=rtpmap:99 CLEARMODE/8000|", ""),
            // A dynamic format without a name.
            ("m=audio 4000 RTP/AVP 97|", ""),
            ("m=image 4000 udptl t38|", "fax"),
            ("m=audio 0 RTP/AVP 0|m=image 4000 udptl t38|", "fax"),
            ("m=audio 4000 RTP/AVP 8|m=image 4002 udptl t38|", "narrowband"),
            ("m=audio 4000 RTP/AVP 98|a=rtpmap:98 t38/8000|", "fax"),
            ("m=video 4000 RTP/AVP 96|a=rtpmap:96 H264/90000|m=audio 4002 RTP/AVP 0|", "narrowband"),
            // A map belongs to its stream.
            ("m=audio 0 RTP/AVP 96|a=rtpmap:96 opus/48000/2|m=audio 4002 RTP/AVP 96|a=rtpmap:96 AMR/8000|", "narrowband"),
            ("m=audio 4000/2 RTP/AVP 0|", "narrowband"),
            ("m=audio 4000|", ""),
            ("m=|a=rtpmap:|a=rtpmap:0|", ""),
            ("", ""),
        ] {
            assert_eq!(offer(streams), want, "{streams}");
        }
    }

    #[test]
    fn r_37_a_description_is_found_where_the_body_says_it_is() {
        const SDP: &str = "v=0\r\nm=audio 4000 RTP/AVP 9\r\n";
        assert_eq!(class_of("Content-Type: application/sdp\r\n", SDP), "wideband");
        assert_eq!(class_of("c: Application/SDP ; charset=utf-8\r\n", &SDP.replace("\r\n", "\n")), "wideband");
        for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: multipart/mixed\r\n", "Content-Type: multipart/mixed; boundary=x\r\n"] {
            assert_eq!(class_of(kind, SDP), "", "{kind}");
        }
        let mixed = |first: &str| format!("--x-1\r\nContent-Type: {first}\r\n\r\n\x01m=audio 1 RTP/AVP 0\r\n--x-1\r\ncontent-type : application/sdp\r\nContent-ID: <a>\r\n\r\n{SDP}--x-1--\r\nm=audio 1 RTP/AVP 0\r\n");
        for kind in ["Content-Type: multipart/mixed;boundary=x-1\r\n", "Content-Type: multipart/mixed; boundary=\"x-1\"\r\n"] {
            assert_eq!(class_of(kind, &mixed("application/isup; version=itu-t92+")), "wideband");
            assert_eq!(class_of(kind, "--x-1\r\nContent-Type: application/isup\r\n\r\n\x01\r\n--x-1--\r\n"), "");
        }
    }

    proptest::proptest! {
        /// Whatever a caller writes, it is read to its end.
        #[test]
        fn r_37_any_body_has_a_class(body in "(m=(audio|image) [0-9]{1,2} RTP/AVP( [0-9]{1,3}){0,60}|a=rtpmap:[0-9]{1,3} [A-Z0-9/]{0,9}|--x|[ -~]{0,20}|\r?\n){0,40}") {
            let class = class_of("Content-Type: application/sdp\r\n", &body);
            class_of("Content-Type: multipart/mixed;boundary=x\r\n", &body);
            proptest::prop_assert!(class.is_empty() || CodecClass::NAMES.contains(&class));
        }
    }
}
