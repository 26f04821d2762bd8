//! The text columns that are made, not copied: JSON lists, addresses, percentages. Written straight into the column.

use std::fmt::Write;

use tollgate_schemas::{money, v1::RouteChoice};

use super::state::Skipped;

/// Replaces a column's text and keeps its memory.
pub(super) fn set(column: &mut String, text: &str) {
    column.clear();
    column.push_str(text);
}

/// Replaces a column by bytes of the wire; what is not UTF-8 is shown as U+FFFD.
pub(super) fn set_bytes(column: &mut String, bytes: &[u8]) {
    column.clear();
    column.push_str(&String::from_utf8_lossy(bytes));
}

/// At most `max` bytes of text, cut between characters.
pub(super) fn cut(column: &mut String, max: usize) {
    if column.len() > max {
        let end = (0..=max).rev().find(|&i| column.is_char_boundary(i)).unwrap_or(0);
        column.truncate(end);
    }
}

/// `ip:port` or `[v6]:port` into two columns; an address without a port keeps port 0.
pub(super) fn set_peer(ip: &mut String, port: &mut u32, addr: &str) {
    let parsed = match addr.rsplit_once(':') {
        Some((host, digits)) if !host.contains(':') || host.ends_with(']') => digits.parse().ok().map(|p| (host, p)),
        _ => None,
    };
    let (host, number) = parsed.unwrap_or((addr, 0));
    set(ip, host.trim_start_matches('[').trim_end_matches(']'));
    *port = number;
}

/// A JSON string (RFC 8259 §7).
pub(super) fn push_json(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (i, b) in text.bytes().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        out.push_str(&text[plain..i]);
        plain = i + 1;
        match b {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            _ => drop(write!(out, "\\u{b:04x}")),
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// Digits of a number, without the formatting machinery: this runs for every call.
pub(super) fn push_number(out: &mut String, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|&b| char::from(b)));
}

/// `route_explain`: every candidate with its reason, in the order of the decision.
pub(super) fn explain(choices: &[RouteChoice]) -> String {
    if choices.is_empty() {
        return String::new();
    }
    let mut out = String::with_capacity(choices.len() * 128);
    for (i, c) in choices.iter().enumerate() {
        out.push_str(if i == 0 { "[{\"carrier\":" } else { ",{\"carrier\":" });
        push_json(&mut out, &c.carrier);
        out.push_str(",\"rank\":");
        push_number(&mut out, c.rank.into());
        out.push_str(",\"reason\":");
        push_json(&mut out, &c.reason);
        out.push_str(",\"prefix\":");
        push_json(&mut out, &c.prefix);
        out.push_str(",\"rate\":\"");
        out.push_str(&money::format_rate(c.rate_e12));
        out.push_str("\",\"expected_cost\":\"");
        out.push_str(&money::format_amount(c.expected_cost_e8));
        out.push('"');
        if !c.quality.is_empty() {
            explain_quality(&mut out, c);
        }
        out.push_str(if c.covered_by_parent_prefix { ",\"covered_by_parent_prefix\":true}" } else { "}" });
    }
    out.push(']');
    out
}

/// `route_explain` of a call of which carriers were passed over when their turn came: each is named with its reason in its place. None
/// where there is none.
pub(super) fn explain_skipped(explain: &str, skipped: &[Skipped]) -> Option<String> {
    if skipped.is_empty() {
        return None;
    }
    let mut out = explain.to_owned();
    for skip in skipped {
        let mut place = "{\"carrier\":".to_owned();
        push_json(&mut place, &skip.carrier);
        place.push_str(",\"rank\":");
        push_number(&mut place, skip.rank.into());
        place.push_str(",\"reason\":");
        let mut reason = String::new();
        push_json(&mut reason, &skip.reason);
        let chosen = "\"chosen\"";
        if let Some(at) = out.find(&place).map(|at| at + place.len()).filter(|at| out[*at..].starts_with(chosen)) {
            out.replace_range(at..at + chosen.len(), &reason);
        }
    }
    Some(out)
}

/// What was known of a carrier, where a policy asked for it: ratios in percent.
fn explain_quality(out: &mut String, c: &RouteChoice) {
    out.push_str(",\"quality\":");
    push_json(out, &c.quality);
    if !c.quality_class.is_empty() {
        out.push_str(",\"quality_class\":");
        push_json(out, &c.quality_class);
    }
    out.push_str(",\"samples\":");
    push_number(out, c.samples.into());
    for (name, e4) in [("asr", c.asr_e4), ("ner", c.ner_e4)] {
        if c.samples > 0 {
            out.push_str(&format!(",\"{name}\":\"{}\"", money::format_scaled(e4.into(), 2, 2)));
        }
    }
    if c.acd_ms > 0 {
        out.push_str(&format!(",\"acd_s\":\"{}\"", money::format_scaled(i64::try_from(c.acd_ms).unwrap_or(i64::MAX), 3, 1)));
    }
    if c.rank > 0 {
        out.push_str(&format!(",\"score\":\"{}\"", money::format_amount(c.score_e8)));
    }
}

/// Margin as percent of the sale, two places, halves away from zero; nothing when nothing was sold.
pub(super) fn margin_percent(margin_e8: i64, sell_e8: i64) -> String {
    if sell_e8 == 0 {
        return String::new();
    }
    let (part, whole) = (i128::from(margin_e8) * 10_000, i128::from(sell_e8));
    let magnitude = (part.abs() * 2 + whole.abs()) / (whole.abs() * 2);
    let signed = if (part < 0) != (whole < 0) { -magnitude } else { magnitude };
    let bounded = i64::try_from(signed).unwrap_or(if signed < 0 { i64::MIN } else { i64::MAX });
    money::format_scaled(bounded, 2, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_092_percent_is_exact_with_halves_away_from_zero() {
        for (margin, sell, want) in [
            (200_000, 600_000, "33.33"),
            (900_000, 1_500_000, "60.00"),
            (-50_000, 100_000, "-50.00"),
            (1, 20_000, "0.01"),
            (-1, 20_000, "-0.01"),
            (1, 20_001, "0.00"),
            (5, 0, ""),
        ] {
            assert_eq!(margin_percent(margin, sell), want, "{margin}/{sell}");
        }
        assert_eq!(margin_percent(i64::MIN, 1), money::format_scaled(i64::MIN, 2, 2), "too large a figure is bounded, not wrapped");
    }

    #[test]
    fn peers_split_into_address_and_port() {
        for (text, want) in [
            ("192.0.2.1:5060", ("192.0.2.1", 5060)),
            ("[2001:db8::1]:5061", ("2001:db8::1", 5061)),
            ("2001:db8::1", ("2001:db8::1", 0)),
            ("192.0.2.1", ("192.0.2.1", 0)),
            ("", ("", 0)),
        ] {
            let (mut ip, mut port) = ("old".to_owned(), 1);
            set_peer(&mut ip, &mut port, text);
            assert_eq!((ip.as_str(), port), want);
        }
    }

    proptest::proptest! {
        #[test]
        fn json_lists_parse_back(carrier in ".{0,20}", reason in "[\\x00-\\x7f]{0,20}", rank in 0u32..9) {
            let text = explain(&[RouteChoice { carrier: carrier.clone(), reason: reason.clone(), rank, ..RouteChoice::default() }]);
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(value[0]["carrier"], carrier);
            assert_eq!(value[0]["reason"], reason);
            assert_eq!(value[0]["rank"], rank);
        }

        #[test]
        fn c_016_cut_is_bounded_and_text(mut text in ".{0,80}", max in 0usize..100) {
            let whole = text.clone();
            cut(&mut text, max);
            assert!(text.len() <= max && whole.starts_with(&text) && (whole.len() <= max || text.len() + 4 > max));
        }

        #[test]
        fn numbers_print_like_std(n in proptest::num::u64::ANY) {
            let mut s = String::new();
            push_number(&mut s, n);
            assert_eq!(s, n.to_string());
        }
    }
}
