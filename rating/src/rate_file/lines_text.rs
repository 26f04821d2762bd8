//! A charge under a tariff as one line of text, for `--explain`.

use std::fmt::Write;

use tollgate_schemas::{
    money::{AMOUNT_PLACES, format_rate, format_scaled},
    terms::{LegContext, Segment},
    v1::Terms,
};

/// `90 s → 0.0200 + 60 s × 0.0500/60 + 30 s × 0.0200/60 (after 60 s) = usage 0.080000 + attempt 0.001000 = 0.081000`.
pub(super) fn explain(terms: &Terms, answer_us: i64, duration_ms: u64, context: &LegContext) -> String {
    let lines = terms.lines(answer_us, duration_ms, context);
    let money = |e8| format_scaled(e8, AMOUNT_PLACES, terms.places);
    let mut text = String::new();
    if !context.answered {
        text.push_str("not answered →");
    } else {
        let _ = write!(text, "{} s →", terms.seconds(duration_ms));
    }
    if lines.lines.first().is_some_and(|l| l.fee.is_none()) {
        let connect = Some(lines.connect_fee_e12).filter(|fee| *fee != 0).map(format_rate);
        let parts: Vec<String> = connect.into_iter().chain(lines.segments.iter().map(segment)).collect();
        let free = if terms.free_s > 0 { format!(" {} s free,", terms.free_s) } else { String::new() };
        let _ = write!(text, "{free} {}", if parts.is_empty() { "0".to_owned() } else { parts.join(" + ") });
        for (name, bound) in [("at least", terms.min_charge_e12), ("at most", if terms.end_at_max { 0 } else { terms.max_charge_e12 })] {
            if bound != 0 {
                let _ = write!(text, ", {name} {}", format_rate(bound));
            }
        }
        text.push_str(" =");
    } else if context.answered {
        text.push_str(" within the grace:");
    }
    for (at, line) in lines.lines.iter().enumerate() {
        let _ = write!(text, "{} {} {}", if at == 0 { "" } else { " +" }, line.name, money(line.amount_e8));
    }
    if lines.lines.len() != 1 {
        let _ = write!(text, " = {}", money(lines.amount_e8()));
    }
    text
}

/// `60 s × 0.0500/60 (night, after 60 s)`.
fn segment(one: &Segment) -> String {
    let after = if one.after_s > 0 { format!("after {} s", one.after_s) } else { String::new() };
    let why: Vec<&str> = [one.band.as_str(), after.as_str()].into_iter().filter(|t| !t.is_empty()).collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
    format!("{} s × {}/60{why}", one.billed_s, format_rate(one.rate_e12))
}
