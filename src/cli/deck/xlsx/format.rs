//! What a number's format shows beside the number (ECMA-376 part 1, 18.8.31).

/// The words and signs of a format code, of its part for numbers above 0: `€`, `US$`, `¤` for the currency of whoever looks.
/// None where it shows nothing but the number.
pub fn label(code: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = code.chars();
    while let Some(c) = chars.next() {
        match c {
            ';' => break,
            '"' => out.extend(chars.by_ref().take_while(|c| *c != '"')),
            '\\' => out.extend(chars.next()),
            // Room of a sign's width, and a sign that fills the cell.
            '_' | '*' => drop(chars.next()),
            '[' => {
                let inner: String = chars.by_ref().take_while(|c| *c != ']').collect();
                if let Some(currency) = inner.strip_prefix('$') {
                    out.push_str(&sign(currency));
                }
            }
            '$' => out.push('$'),
            c if !c.is_ascii() => out.push(c),
            _ => {}
        }
    }
    let out = out.trim();
    let says = out.chars().any(|c| c.is_alphabetic() || c == '$' || (!c.is_ascii() && !c.is_whitespace()));
    says.then(|| out.to_owned())
}

/// `€-407`, `USD`, `$-1009`: a sign, and the country whose it is; dollars are of many.
fn sign(text: &str) -> String {
    let (sign, country) = text.split_once('-').unwrap_or((text, ""));
    if sign != "$" {
        return sign.to_owned();
    }
    match country.to_uppercase().as_str() {
        "" | "409" | "EN-US" => "$",
        "1009" | "C0C" | "EN-CA" | "FR-CA" => "CA$",
        "C09" | "EN-AU" => "A$",
        "1409" | "EN-NZ" => "NZ$",
        "4809" | "1004" | "EN-SG" | "ZH-SG" => "SG$",
        "3C09" | "C04" | "EN-HK" | "ZH-HK" => "HK$",
        "80A" | "ES-MX" => "MX$",
        _ => "¤",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_14_a_format_shows_its_currency() {
        for (code, want) in [
            ("General", None), ("0.0000", None), ("#,##0.00_);(#,##0.00)", None), ("0.00%", None), ("[$-409]0.00", None), ("[Red]0.00;-0.00", None), ("dd/mm/yyyy", None), ("0.00\" \"", None),
            ("\"$\"#,##0.00", Some("$")), ("[$€-407] #,##0.00", Some("€")), ("#,##0.00 [$€-1]", Some("€")), ("[$USD] 0.00", Some("USD")), ("_-[$£-809]* #,##0.00_-;-x", Some("£")), ("\\$0.00", Some("$")), ("[$$-1009]0.00", Some("CA$")),
            ("[$$-en-US]0.00", Some("$")), ("[$$-2C0A]0.00", Some("¤")), ("0.00\" cents\"", Some("cents")), ("¥0.00", Some("¥")), ("[$kr-41D] 0.00", Some("kr")),
        ] {
            assert_eq!(label(code).as_deref(), want, "{code}");
        }
    }
}
