//! SIP status to Q.850 cause (domain §3.7, RFC 3398 with its known misprint put right).

use super::msg::{Header, Msg};

/// The cause a status stands for when no Reason header says better; 0 for 487, which has none.
pub fn of_status(status: u16) -> u8 {
    match status {
        200..=299 => 16,
        401 | 402 | 403 | 407 => 21,
        404 | 485 | 604 => 1,
        405 => 63,
        406 | 415 | 501 => 79,
        408 | 504 => 102,
        410 => 22,
        480 => 18,
        481 | 400 | 500 | 503 => 41,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        487 => 0,
        502 => 38,
        603 | 607 | 608 => 21,
        _ => 127,
    }
}

/// The Q.850 cause in a message's Reason header; 0 when there is none.
pub fn of_message(msg: &Msg<'_>) -> u8 {
    for value in msg.values(Header::Reason) {
        let mut parts = value.bytes.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        if !parts.next().is_some_and(|p| p.eq_ignore_ascii_case(b"Q.850")) {
            continue;
        }
        for part in parts {
            if let Some((name, cause)) = part.iter().position(|b| *b == b'=').map(|i| (&part[..i], &part[i + 1..]))
                && name.trim_ascii().eq_ignore_ascii_case(b"cause")
            {
                return std::str::from_utf8(cause.trim_ascii()).ok().and_then(|c| c.parse().ok()).unwrap_or(0);
            }
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q850_of_status_follows_rfc_3398() {
        for (status, cause) in [(404, 1), (486, 17), (480, 18), (503, 41), (502, 38), (504, 102), (505, 127), (484, 28), (603, 21), (487, 0), (408, 102)] {
            assert_eq!(of_status(status), cause, "{status}");
        }
    }

    #[test]
    fn the_raw_reason_header_wins() {
        let raw = b"SIP/2.0 480 x\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nReason: SIP;cause=200, Q.850 ; cause=19;text=\"no; answer\"\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(Msg::parse(raw).map(|m| of_message(&m)).expect("parses"), 19);
    }
}
