//! CSV that people may open in a spreadsheet (FN-11): RFC 4180 with CRLF, a header line, UTF-8, quotes where needed; times
//! RFC 3339 in UTC, decimal point, no thousands separator. *Formula guard*: a cell of a text column that begins with `=`,
//! `+`, `-`, `@`, tab or CR gets an apostrophe before it, so that no spreadsheet runs what a caller wrote in a SIP header. A
//! cell that is nothing but a signed number (`+4930123`, `-12.50`) cannot be a formula and stays as it is; number, time and
//! id columns are never touched.

/// A line of column names.
pub fn header_line<'a>(names: impl Iterator<Item = &'a str>, out: &mut String) {
    let names: Vec<&str> = names.collect();
    out.push_str(&names.join(","));
    out.push_str("\r\n");
}

/// Writes one cell; `free` = text that somebody else chose.
pub fn cell(text: &str, free: bool, out: &mut String) {
    let guard = free && text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_signed_number(text);
    let quote = text.contains(['"', ',', '\n', '\r']);
    if quote {
        out.push('"');
    }
    if guard {
        out.push('\'');
    }
    if quote {
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

fn is_signed_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(['+', '-']) else { return false };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell_of(text: &str) -> String {
        let mut out = String::new();
        cell(text, true, &mut out);
        out
    }

    #[test]
    fn x_11_formulas_are_disarmed_and_numbers_left_alone() {
        for (text, want) in [
            ("=cmd()", "'=cmd()"), ("@SUM(A1)", "'@SUM(A1)"), ("-2+3", "'-2+3"), ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("\tx", "'\tx"), ("\r=1", "\"'\r=1\""), ("+", "'+"), ("-", "'-"), ("-1.", "'-1."), ("+1e5", "'+1e5"),
            ("+4930123", "+4930123"), ("-12.50", "-12.50"), ("plain", "plain"), ("a=b", "a=b"), ("", ""),
        ] {
            assert_eq!(cell_of(text), want, "{text:?}");
        }
        let mut out = String::new();
        cell("-5", false, &mut out);
        assert_eq!(out, "-5");
    }

    #[test]
    fn fn_11_quotes_as_rfc_4180_has_them() {
        assert_eq!(cell_of("a,b"), "\"a,b\"");
        assert_eq!(cell_of("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(cell_of("two\r\nlines"), "\"two\r\nlines\"");
        assert_eq!(cell_of("=1,2"), "\"'=1,2\"");
    }
}
