use super::*;

fn plan(country: &str, international: &[&str], national: &str, min: u8, max: u8, bare_is_e164: bool) -> NumberPlan {
    NumberPlan {
        country_code: country.to_owned(),
        international_prefixes: international.iter().map(|p| (*p).to_owned()).collect(),
        national_prefix: national.to_owned(),
        national_min: min,
        national_max: max,
        bare_is_e164,
        refuse_invalid: false,
    }
}

fn named(name: &str) -> NumberPlan {
    match name {
        "uk" => plan("44", &["00"], "0", 9, 10, false),
        "uk-e164" => plan("44", &["00"], "0", 9, 10, true),
        "us" => plan("1", &["011"], "", 10, 10, false),
        "us-1" => plan("1", &["011"], "1", 10, 10, false),
        "it" => plan("39", &["00"], "", 6, 11, false),
        "it-careless" => plan("39", &["00", "011"], "", 6, 11, false),
        "ru" => plan("7", &["810"], "8", 10, 10, false),
        "ru-e164" => plan("7", &["810"], "8", 10, 10, true),
        "hk" => plan("852", &["001", "00"], "", 8, 8, false),
        _ => NumberPlan::default(),
    }
}

/// Lines: plan, dialled, result (`+digits`, with `?` behind it when it cannot exist, or the failed rule), rules.
#[test]
fn r_01_s1_05_golden_table() {
    let tables = Tables::builtin();
    let mut wrong = Vec::new();
    let rows: Vec<&str> = include_str!("numbers.tsv").lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    for row in &rows {
        let cells: Vec<&str> = row.split('\t').collect();
        let got = match normalise(&tables, &named(cells[0]), cells[1]) {
            Ok(n) => format!("{}{}\t{}", n.number, if n.valid { "" } else { "?" }, n.rules.join(",")),
            Err(e) => format!("{e}\t"),
        };
        let want = format!("{}\t{}", cells[2], cells.get(3).unwrap_or(&""));
        if got != want {
            wrong.push(format!("{} {:?}: got {got:?}, want {want:?}", cells[0], cells[1]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert!(rows.len() >= 200, "R-01 asks for 200 rows, there are {}", rows.len());
}

#[test]
fn r_03_callers_numbers_have_one_class_each() {
    let tables = Tables::builtin();
    for (user, validity) in [
        (None, "missing"),
        (Some(""), "missing"),
        (Some("anonymous"), "missing"),
        (Some("alice"), "missing"),
        (Some("unavailable"), "missing"),
        (Some("+"), "missing"),
        (Some("1"), "short"),
        (Some("1234"), "short"),
        (Some("+4420"), "short"),
        (Some("12345"), "short"),
        (Some("+44207183"), "short"),
        (Some("+4420718387501234"), "long"),
        (Some("1234567890123456"), "long"),
        (Some("+44207183875012"), "long"),
        (Some(&"9".repeat(80)), "long"),
        (Some("+999123456789"), "bad_cc"),
        (Some("+2101234567"), "bad_cc"),
        (Some("+12125550"), "short"),
        (Some("+10125550123"), "bad_cc"),
        (Some("+442071838750"), "valid"),
        (Some("02071838750"), "valid"),
        (Some("00442071838750"), "valid"),
        (Some("+12125550123"), "valid"),
        (Some("+44%2020-7183-8750"), "valid"),
    ] {
        let (got, number) = caller(&tables, &named("uk"), user);
        assert_eq!(got.name(), validity, "{user:?}");
        assert_eq!(number.is_some(), validity == "valid", "{user:?}");
    }
}

#[test]
fn r_01_nothing_is_guessed() {
    // 011 is Turin's area code and, in this plan, also what stands before an international number.
    let tables = Tables::builtin();
    assert_eq!(normalise(&tables, &named("it-careless"), "0114471234"), Err(NormError { rule: "norm.ambiguous" }));
    // 8 495 … is Moscow by the prefix; as bare E.164 it is Vietnam.
    assert_eq!(normalise(&tables, &named("ru-e164"), "84951234567"), Err(NormError { rule: "norm.ambiguous" }));
}

proptest::proptest! {
    #[test]
    fn r_01_any_text_gives_a_number_or_a_rule(text in "[+]?[0-9a-z%;=*#. ()-]{0,40}", plan in 0usize..10) {
        let names = ["uk", "uk-e164", "us", "us-1", "it", "it-careless", "ru", "ru-e164", "hk", "default"];
        match normalise(&Tables::builtin(), &named(names[plan]), &text) {
            Ok(n) => assert!((MIN_DIGITS..=MAX_DIGITS).contains(&n.number.digits().len())),
            Err(e) => assert!(e.rule.starts_with("norm.")),
        }
    }

    #[test]
    fn s1_05_every_form_of_a_british_number_is_the_same(national in "[1-37][1-9][0-9]{8}") {
        let tables = Tables::builtin();
        let want = E164::parse(&format!("44{national}"));
        for form in [format!("0044{national}"), format!("+44{national}"), format!("44{national}"), format!("0{national}")] {
            assert_eq!(normalise(&tables, &named("uk"), &form).map(|n| n.number).ok(), want.clone().ok(), "{form}");
        }
    }
}
