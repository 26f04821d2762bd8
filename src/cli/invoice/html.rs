//! An invoice or note for print: one page of HTML without scripts or anything from elsewhere.

use serde_json::Value;

const STYLE: &str = "\
@page{size:A4;margin:18mm}\
*{box-sizing:border-box}\
body{font:10pt/1.45 system-ui,'Segoe UI','Helvetica Neue',Arial,sans-serif;color:#1b1f24;max-width:180mm;margin:12mm auto;padding:0 4mm}\
@media print{body{margin:0;padding:0;max-width:none}}\
h1{font-size:19pt;font-weight:600;margin:0 0 2mm}\
header{display:flex;justify-content:space-between;gap:10mm;border-bottom:.6mm solid #1b1f24;padding-bottom:5mm;margin-bottom:6mm}\
.parties{display:flex;gap:12mm;margin-bottom:6mm}.parties>div{flex:1}\
.label{color:#59636e;font-size:8pt;text-transform:uppercase;letter-spacing:.05em}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.6mm 5mm;margin:0}dt{color:#59636e}dd{margin:0;text-align:right;font-variant-numeric:tabular-nums}\
table{width:100%;border-collapse:collapse;margin-bottom:5mm}\
th{text-align:left;font-size:8pt;color:#59636e;font-weight:600;border-bottom:.3mm solid #1b1f24;padding:1mm 2mm 1mm 0}\
td{padding:1mm 2mm 1mm 0;border-bottom:.1mm solid #d1d9e0;vertical-align:top}\
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;padding-right:0;padding-left:3mm}\
tr.section td{font-weight:600;border-bottom:.2mm solid #818b98;padding-top:4mm}\
tr.total td{font-weight:700;font-size:12pt;border-top:.6mm solid #1b1f24;border-bottom:0;padding-top:2mm}\
tr{break-inside:avoid}thead{display:table-header-group}\
footer{color:#59636e;font-size:8pt;border-top:.2mm solid #d1d9e0;padding-top:3mm;overflow-wrap:anywhere}";

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// HTML has no way out of text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn party(label: &str, party: &Value) -> String {
    let mut html = format!("<div><div class=label>{label}</div>");
    if !text(party, "name").is_empty() {
        html.push_str(&format!("<strong>{}</strong><br>", escaped(text(party, "name"))));
    }
    for line in party["address"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        html.push_str(&format!("{}<br>", escaped(line)));
    }
    for (name, label) in [("tax_id", "Tax id"), ("contact", "Questions")] {
        if !text(party, name).is_empty() {
            html.push_str(&format!("{label}: {}<br>", escaped(text(party, name))));
        }
    }
    html + "</div>"
}

fn section_title(name: &str) -> &'static str {
    match name {
        "recurring" => "Recurring charges",
        "usage" => "Calls by destination and rate",
        "late_usage" => "Calls of earlier periods, known after their invoice",
        "fees" => "Fees per call",
        "contract" => "Contract",
        "credits" => "Credits",
        "taxes" => "Taxes and regulatory charges",
        "rounding" => "Rounding",
        _ => "Other",
    }
}

/// `1234567.890000` as people read it; amounts of lines keep their places.
fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |d| ("−", d));
    let (whole, fraction) = digits.split_once('.').map_or((digits, ""), |(w, f)| (w, f));
    let mut out = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    if fraction.is_empty() { format!("{sign}{out}") } else { format!("{sign}{out}.{fraction}") }
}

/// The document as a page.
pub fn page(document: &Value) -> String {
    let note = document["invoice"].is_string();
    let title = match text(document, "kind") {
        "credit_note" => "Credit note",
        "debit_note" => "Debit note",
        _ => "Invoice",
    };
    let number = escaped(text(document, "number"));
    let period = &document["period"];
    let mut facts: Vec<(&str, String)> = vec![("Number", number.clone()), ("Issued", escaped(text(document, "issued")))];
    if note {
        facts.push(("Corrects invoice", escaped(text(document, "invoice"))));
    } else {
        facts.push(("Due", escaped(text(document, "due"))));
    }
    if !text(document, "supplied").is_empty() {
        facts.push(("Supplied", escaped(text(document, "supplied"))));
    }
    facts.push(("Period from", escaped(text(period, "from"))));
    facts.push(("until (not in it)", escaped(text(period, "until"))));
    facts.push(("Time zone", escaped(text(period, "timezone"))));
    facts.push(("Account", escaped(text(document, "account"))));
    facts.push(("Currency", escaped(text(document, "currency"))));
    for (name, label) in [("purchase_order", "Purchase order"), ("payment_terms", "Terms")] {
        if !text(document, name).is_empty() {
            facts.push((label, escaped(text(document, name))));
        }
    }
    let facts: String = facts.iter().map(|(label, value)| format!("<dt>{label}<dd>{value}")).collect();
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title} {number}</title><style>{STYLE}</style>\
         <header><div><h1>{title}</h1>{}</div><dl>{facts}</dl></header><div class=parties>{}{}</div>",
        escaped(text(document, "reason")), party("From", &document["supplier"]), party("To", &document["customer"]),
    );
    html.push_str(&if note { note_lines(document) } else { lines(document) });
    if !note {
        html.push_str(&statement(document));
    }
    let bank: Vec<String> = document["bank"].as_array().into_iter().flatten().filter_map(Value::as_str).map(escaped).collect();
    if !bank.is_empty() {
        html.push_str(&format!("<p><span class=label>Payment to</span><br>{}</p>", bank.join("<br>")));
    }
    let annex = &document["annex"];
    html.push_str("<footer>");
    if annex.is_object() {
        html.push_str(&format!("Calls: {number}.cdrs.csv, {} rows, SHA-256 {}<br>", annex["rows"], escaped(text(annex, "sha256"))));
    }
    if !text(document, "as_of").is_empty() {
        html.push_str(&format!("Calls as of log position {}", escaped(text(document, "as_of"))));
    }
    html + "</footer></html>\n"
}

fn lines(document: &Value) -> String {
    let mut html = "<table><thead><tr><th>Destination<th class=n>Rate per minute<th class=n>Calls<th class=n>Minutes<th class=n>Amount</thead><tbody>".to_owned();
    let mut section = "";
    for line in document["lines"].as_array().into_iter().flatten() {
        if text(line, "section") != section {
            section = text(line, "section");
            html.push_str(&format!("<tr class=section><td colspan=5>{}", section_title(section)));
        }
        let what = match (text(line, "destination"), text(line, "original_date")) {
            ("", _) => escaped(text(line, "description")),
            (destination, "") => escaped(destination),
            (destination, date) => format!("{}, {}", escaped(destination), escaped(date)),
        };
        let what = what + &small(line);
        let calls = line["calls"].as_u64().map_or_else(String::new, |n| grouped(&n.to_string()));
        html.push_str(&format!(
            "<tr><td>{what}<td class=n>{}<td class=n>{calls}<td class=n>{}<td class=n>{}",
            escaped(text(line, "rate")), grouped(text(line, "minutes")), grouped(text(line, "amount"))
        ));
    }
    html.push_str(&format!("<tr class=total><td colspan=4>Total<td class=n>{} {}</tbody></table>", grouped(text(document, "total")), escaped(text(document, "currency"))));
    html
}

/// What a line rests on: whose calls, an exchange rate, a contract, a table of taxes.
fn small(line: &Value) -> String {
    let exchanged = &line["exchanged"];
    let mut parts = Vec::new();
    if !text(line, "sub_account").is_empty() {
        parts.push(format!("account {}", escaped(text(line, "sub_account"))));
    }
    if exchanged.is_object() {
        let [amount, currency, rate, source, date] = ["amount", "currency", "rate", "source", "date"].map(|name| escaped(text(exchanged, name)));
        parts.push(format!("{} {currency} at {rate}, {source} of {date}", grouped(&amount)));
    }
    if !text(line, "contract").is_empty() {
        parts.push(format!("contract {}", escaped(text(line, "contract"))));
    }
    if !text(&line["tax"], "note").is_empty() {
        parts.push(escaped(text(&line["tax"], "note")));
    }
    if parts.is_empty() { String::new() } else { format!("<br><span class=label>{}</span>", parts.join("; ")) }
}

fn note_lines(document: &Value) -> String {
    let mut html = "<table><thead><tr><th>Line<th>What<th class=n>Rate<th class=n>Was<th class=n>Is<th class=n>Change</thead><tbody>".to_owned();
    for line in document["lines"].as_array().into_iter().flatten() {
        let what = if text(line, "destination").is_empty() { text(line, "description") } else { text(line, "destination") };
        let whose = if text(line, "sub_account").is_empty() { String::new() } else { format!("<br><span class=label>account {}</span>", escaped(text(line, "sub_account"))) };
        html.push_str(&format!(
            "<tr><td>{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}",
            line["invoice_line"].as_u64().map_or_else(|| "new".to_owned(), |n| n.to_string()), escaped(what) + &whose, escaped(text(line, "rate")),
            grouped(text(line, "was")), grouped(text(line, "is")), grouped(text(line, "amount"))
        ));
    }
    let of = if text(document, "kind") == "credit_note" { "Credited" } else { "Charged" };
    html.push_str(&format!("<tr class=total><td colspan=5>{of}<td class=n>{} {}</tbody></table>", grouped(text(document, "total")), escaped(text(document, "currency"))));
    html
}

/// What was owed before, and paid since: beside the total.
fn statement(document: &Value) -> String {
    let forward = text(document, "balance_forward");
    let payments = document["payments"].as_array().filter(|p| !p.is_empty());
    if forward.is_empty() && payments.is_none() {
        return String::new();
    }
    let mut html = "<table><tbody><tr class=section><td colspan=2>Statement".to_owned();
    if !forward.is_empty() {
        html.push_str(&format!("<tr><td>Balance forward<td class=n>{}", grouped(forward)));
    }
    for payment in payments.into_iter().flatten() {
        html.push_str(&format!("<tr><td>{}<td class=n>−{}", escaped(text(payment, "description")), grouped(text(payment, "amount"))));
    }
    html + "</tbody></table>"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fn_01_the_page_has_every_line_and_runs_nothing_a_name_says() {
        let document = json!({
            "kind": "invoice", "number": "2026-7", "account": "acme", "currency": "EUR", "issued": "2026-04-03", "due": "2026-05-03", "total": "1234567.89",
            "period": { "from": "a", "until": "b", "timezone": "UTC" }, "supplier": { "name": "<script>alert(1)</script>", "address": ["x & y"] }, "customer": {},
            "lines": [{ "no": 1, "section": "usage", "destination": "UK \"mobile\"", "rate": "0.0125", "calls": 1200, "minutes": "33.50", "amount": "1234567.890000",
                "exchanged": { "amount": "2000.5", "currency": "USD", "rate": "0.9", "source": "ecb <b>", "date": "2026-03-02" }, "contract": "acme-2026 0a", "tax": { "note": "non-authoritative" } }],
            "annex": { "rows": 5, "sha256": "ab" }, "as_of": "1.2",
        });
        let page = page(&document);
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
        for wanted in ["x &amp; y", "UK &quot;mobile&quot;", "1\u{202f}200", "1\u{202f}234\u{202f}567.890000", "SHA-256 ab", "2026-7.cdrs.csv", "2\u{202f}000.5 USD at 0.9, ecb &lt;b&gt; of 2026-03-02; contract acme-2026 0a; non-authoritative"] {
            assert!(page.contains(wanted), "{wanted}");
        }
    }
}
