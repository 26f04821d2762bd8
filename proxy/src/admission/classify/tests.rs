use super::*;

fn class(number: &str) -> (String, &'static str, bool) {
    let number = E164::parse(number).expect("a number");
    let class = Tables::builtin().class(&number);
    (class.country(&number).to_owned(), class.kind.name(), class.high_risk)
}

#[test]
fn every_row_of_the_tables_is_read() {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    for row in rows(COUNTRY_CODES) {
        assert!(row.len() == 2 && digits(row[0]) && (1..=3).contains(&row[0].len()) && !row[1].is_empty(), "{row:?}");
    }
    for row in rows(NUMBER_TYPES) {
        assert!(row.len() == 2 && digits(row[0]) && NumberType::from_name(row[1]).is_some(), "{row:?}");
    }
    for row in rows(HIGH_RISK) {
        assert!(row.len() == 3 && digits(row[0]) && !row[1].is_empty() && !row[2].is_empty(), "{row:?}");
    }
}

#[test]
fn r_02_country_codes_are_prefix_free_and_known_to_be_assigned() {
    let codes: Vec<&str> = rows(COUNTRY_CODES).map(|r| r[0]).collect();
    for a in &codes {
        assert_eq!(codes.iter().filter(|b| b.starts_with(a)).count(), 1, "{a}");
    }
    // Spare or reserved codes of E.164.
    for spare in ["210", "214", "215", "217", "219", "259", "28", "384", "386", "388", "422", "693", "699", "83", "89", "851", "969", "978", "991", "999"] {
        assert_eq!(codes.contains(&spare), spare == "386", "{spare}");
    }
}

#[test]
fn r_02_called_numbers_are_classified() {
    for (number, country, kind, high) in [
        ("12125550123", "1", "unknown", false),
        ("19005550123", "1", "premium", true),
        ("18005550123", "1", "tollfree", false),
        ("18335550123", "1", "tollfree", false),
        ("18765550123", "1", "unknown", true),
        ("14735550123", "1", "unknown", true),
        ("74951234567", "7", "unknown", false),
        ("77271234567", "7", "unknown", false),
        ("442071838750", "44", "fixed", false),
        ("441534123456", "44", "fixed", false),
        ("447911123456", "44", "mobile", false),
        ("447012345678", "44", "special", true),
        ("449011234567", "44", "premium", true),
        ("448001111111", "44", "tollfree", false),
        ("390612345678", "39", "fixed", false),
        ("5491112345678", "54", "mobile", false),
        ("252612345678", "252", "unknown", true),
        ("9607912345", "960", "unknown", true),
        ("24741234", "247", "unknown", true),
        ("37127123456", "371", "unknown", true),
        ("3725123456", "372", "unknown", false),
        ("37270012345", "372", "unknown", true),
        ("881612345678", "881", "satellite", true),
        ("88213123456", "882", "satellite", true),
        ("883510012345", "883", "satellite", true),
        ("870773123456", "870", "satellite", true),
        ("979123456789", "979", "premium", true),
        ("80012345678", "800", "tollfree", false),
        ("80812345678", "808", "special", false),
        ("878101234567890", "878", "special", true),
        ("999123456789", "", "unknown", false),
    ] {
        assert_eq!(class(number), (country.to_owned(), kind, high), "{number}");
    }
}

#[test]
fn an_operators_own_prefix_is_high_risk_too() {
    let mut tables = Tables::builtin();
    let number = E164::parse("4912345678").expect("a number");
    assert!(!tables.class(&number).high_risk);
    assert!(tables.add_risk("491") && !tables.add_risk("x"));
    assert!(tables.class(&number).high_risk);
}
