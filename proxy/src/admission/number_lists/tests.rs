use tollgate_schemas::time::parse_rfc3339;

use super::*;

fn lists(text: &str) -> BTreeMap<String, NumberList> {
    serde_json::from_str(text).expect("lists of the test")
}

fn number(text: &str) -> E164 {
    E164::parse(text).expect("a number of the test")
}

#[test]
fn r_02_numbers_prefixes_and_ranges_are_found_while_their_dates_hold() {
    let documents = lists(
        r#"{
        "iprn": { "list": "test", "numbers": [
            { "number": "+37060000001" },
            { "number": "25261*", "from": "2026-01-01", "until": "2026-07-01" }
        ] },
        "abuse": { "list": "hot", "numbers": [
            { "number": "441534500095", "to": "441534500112" },
            { "number": "37060000001" },
            { "number": "2526*" }
        ] } }"#,
    );
    let lists = NumberLists::compile(&documents).expect("right");
    let at = |digits: &str, day: &str| {
        let at_us = parse_rfc3339(&format!("{day}T12:00:00Z")).expect("a time");
        lists.find(&number(digits), at_us).map(|(list, name)| format!("{}:{name}", list.name()))
    };
    for (digits, day, want) in [
        ("37060000001", "2026-03-01", Some("test:iprn")),
        ("370600000011", "2026-03-01", None),
        ("3706000000", "2026-03-01", None),
        ("252615550000", "2026-03-01", Some("test:iprn")),
        // Outside of its dates the wider entry of another list holds.
        ("252615550000", "2025-12-31", Some("hot:abuse")),
        ("252615550000", "2026-07-01", Some("hot:abuse")),
        ("252625550000", "2026-03-01", Some("hot:abuse")),
        ("25271", "2026-03-01", None),
        ("441534500094", "2026-03-01", None),
        ("441534500095", "2026-03-01", Some("hot:abuse")),
        ("441534500112", "2026-03-01", Some("hot:abuse")),
        ("441534500113", "2026-03-01", None),
        // A range is of numbers of its own length.
        ("4415345001001", "2026-03-01", None),
    ] {
        assert_eq!(at(digits, day).as_deref(), want, "{digits} {day}");
    }
}

#[test]
fn r_02_a_range_is_exactly_its_numbers() {
    for (low, high) in [(1_000u64, 1_999u64), (1_001, 1_998), (1_995, 2_105), (1_234, 1_234), (9_990, 9_999), (1_000, 9_999)] {
        let text = format!(r#"{{ "l": {{ "list": "hot", "numbers": [{{ "number": "{low}", "to": "{high}" }}] }} }}"#);
        let found = NumberLists::compile(&lists(&text)).expect("right");
        for n in 1_000..=9_999 {
            assert_eq!(found.find(&number(&n.to_string()), 0).is_some(), (low..=high).contains(&n), "{low}-{high}: {n}");
        }
    }
}

#[test]
fn r_02_every_mistake_of_a_list_is_told_with_its_place() {
    let documents = lists(
        r#"{ "l": { "list": "hot", "numbers": [
            { "number": "0123" }, { "number": "12x" }, { "number": "123*", "to": "125" }, { "number": "123", "to": "12" },
            { "number": "123", "to": "122" }, { "number": "1", "from": "2026-02-30" }, { "number": "1", "from": "2026-02-02", "until": "2026-02-02" }
        ] } }"#,
    );
    let found: Vec<String> = NumberLists::compile(&documents).expect_err("mistakes").into_iter().map(|b| b.field).collect();
    assert_eq!(found, ["numbers[0].number", "numbers[1].number", "numbers[2].to", "numbers[3].to", "numbers[4].to", "numbers[5].from", "numbers[6].until"]);
}
