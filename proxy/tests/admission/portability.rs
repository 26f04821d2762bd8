//! Portability at admission (R-04) through the whole decision: what is looked up, what prices are asked with, what the facts say.

use std::sync::{Arc, Mutex};

use tollgate_proxy::admission::{Admission, Attempt, PortabilitySource, Prices, Sale, Sell, Shown};
use tollgate_schemas::{
    number::E164,
    parties::{Parties, Place},
    portability::{Asker, Dip, DipAnswer, DipError, Named, NumberSource, Ported},
};

use super::fixture::{at, attempt, policy, terms, wide};

const US: &str = r#""numbers": {"country_code": "1", "international_prefixes": ["011"], "national_min": 10, "national_max": 10}"#;

/// Ports +1 212 555 0100 to +1 201 555 0000, knows nothing of +1 212 555 0199, and counts what it was asked.
#[derive(Default)]
struct Counted(Mutex<Vec<String>>);

impl NumberSource for Counted {
    fn lookup(&self, number: &E164, _asker: Option<Asker>, _now_us: i64) -> DipAnswer {
        self.0.lock().expect("a lock").push(number.digits().to_owned());
        match number.digits() {
            "12125550199" => Err(DipError::Timeout(500)),
            "12125550150" => Ok(Dip { found: Ported::default(), cached: true, took_ms: 0 }),
            _ => Ok(Dip {
                found: Ported {
                    lrn: Some(E164::parse("12015550000").expect("a number")),
                    place: Place { state: "NJ".to_owned(), ocn: "9206".to_owned(), ..Place::default() },
                },
                cached: false,
                took_ms: 7,
            }),
        }
    }
}

/// Notes what it is asked with: rated digits, dipped, switch of the caller.
#[derive(Default)]
struct Noting(Mutex<Vec<(String, bool, Option<String>)>>);

impl Prices for Noting {
    fn sell<'p>(&'p self, _: &str, parties: &Parties<'p>, _: i64) -> Sale<'p> {
        let switch = parties.a_routing.map(|n| n.digits().to_owned());
        self.0.lock().expect("a lock").push((parties.rated().to_owned(), parties.dipped, switch));
        Sell::Terms(terms("US", "1", "0.01")).into()
    }
}

#[test]
fn r_04_the_called_number_is_looked_up_once_unless_a_trusted_trunk_has_done_so() {
    for (trusted, dialled, asked, rated, source, dipped) in [
        (false, "+12125550100", true, "12015550000", "dip", true),
        (false, "+12125550150", true, "12125550150", "cache", false),
        // No answer in time: the dialled exchange, and it says so.
        (false, "+12125550199", true, "12125550199", "fallback", false),
        // Toll-free and foreign numbers are never looked up.
        (false, "+18005550100", false, "18005550100", "none", false),
        (false, "+442071838750", false, "442071838750", "none", false),
        // Only a trunk that is trusted is believed.
        (false, "+12125550100;npdi;rn=+13155550000", true, "12015550000", "dip", true),
        (true, "+12125550100;npdi;rn=+13155550000", false, "13155550000", "trusted", false),
        // The look-up was made and the number is not ported: no second one.
        (true, "+12125550100;npdi", false, "12125550100", "trusted", false),
        (true, "+12125550100", true, "12015550000", "dip", true),
    ] {
        let policy = policy("", &wide("", &format!(r#"{US}, "trust_npdi": {trusted}"#)));
        let mut admission = Admission::default();
        let (source_of, prices) = (Arc::new(Counted::default()), Noting::default());
        admission.portability = PortabilitySource::new(source_of.clone());
        let admitted = admission.admit(&policy, &prices, &attempt(&policy, dialled, at(0))).unwrap_or_else(|r| panic!("{dialled}: {} {}", r.refusal.name(), r.detail));
        let (got_rated, got_dipped, _) = prices.0.lock().expect("a lock")[0].clone();
        assert_eq!((got_rated.as_str(), got_dipped, admitted.facts.lrn_source.as_str()), (rated, dipped, source), "{trusted} {dialled}");
        assert_eq!(source_of.0.lock().expect("a lock").len(), usize::from(asked), "{trusted} {dialled}");
        assert_eq!(admitted.lrn.map(|n| n.digits().to_owned()).unwrap_or_default(), admitted.facts.lrn);
        assert_eq!(admitted.called.number().map(|n| format!("+{}", n.digits())).as_deref(), dialled.split(';').next(), "what is dialled stays");
    }
}

#[test]
fn r_25_the_callers_switch_is_believed_of_a_trusted_trunk_only() {
    for (trusted, want) in [(true, Some("12015550000")), (false, None)] {
        let policy = policy("", &wide("", &format!(r#"{US}, "trust_npdi": {trusted}"#)));
        let prices = Noting::default();
        let asked = Attempt { a_user: Some("+12125550101;jip=2015550000"), ..attempt(&policy, "+13155550100", at(0)) };
        Admission::default().admit(&policy, &prices, &asked).unwrap_or_else(|r| panic!("{}", r.refusal.name()));
        assert_eq!(prices.0.lock().expect("a lock")[0].2.as_deref(), want);
    }
}

#[test]
fn r_04_without_a_source_nothing_is_said_of_portability() {
    let policy = policy("", &wide("", US));
    let admitted = Admission::default().admit(&policy, &Noting::default(), &attempt(&policy, "+12125550100", at(0))).expect("admitted");
    assert_eq!((admitted.facts.lrn_source.as_str(), admitted.lrn), ("", None));
}

/// Names everybody, and counts.
#[derive(Default)]
struct Book(Mutex<Vec<String>>);

impl NumberSource<Named> for Book {
    fn lookup(&self, number: &E164, _asker: Option<Asker>, _now_us: i64) -> DipAnswer<Named> {
        self.0.lock().expect("a lock").push(number.digits().to_owned());
        match number.digits() {
            "12125550197" => Err(DipError::Pending(300)),
            "12125550196" => Ok(Dip { found: Named("ACME LTD".into()), cached: true, took_ms: 0 }),
            _ => Ok(Dip { found: Named("ACME LTD".into()), cached: false, took_ms: 9 }),
        }
    }
}

/// Notes whether a name was looked up for the call it prices.
#[derive(Default)]
struct Naming(Mutex<Vec<bool>>);

impl Prices for Naming {
    fn sell<'p>(&'p self, _: &str, parties: &Parties<'p>, _: i64) -> Sale<'p> {
        self.0.lock().expect("a lock").push(parties.named);
        Sell::Terms(terms("US", "1", "0.01")).into()
    }
}

#[test]
fn r_29_names_are_looked_up_of_valid_north_american_callers_that_neither_hide_nor_name_themselves() {
    let on = r#", "cnam": true"#;
    for (more, caller, shown, name, source, named) in [
        (on, Some("+12125550198"), Shown::Number, "ACME LTD", "dip", true),
        (on, Some("+12125550196"), Shown::Number, "ACME LTD", "cache", false),
        (on, Some("+12125550197"), Shown::Number, "", "fallback", false),
        (on, Some("+12125550198"), Shown::Name, "", "sent", false),
        (on, Some("+12125550198"), Shown::Nothing, "", "none", false),
        (on, Some("+442071838751"), Shown::Number, "", "none", false),
        (on, Some("+18005550100"), Shown::Number, "", "none", false),
        (on, Some("+1212555"), Shown::Number, "", "none", false),
        (on, None, Shown::Number, "", "none", false),
        ("", Some("+12125550198"), Shown::Number, "", "", false),
    ] {
        let policy = policy("", &wide("", &format!("{US}{more}")));
        let mut admission = Admission::default();
        let (book, prices) = (Arc::new(Book::default()), Naming::default());
        admission.caller_names = PortabilitySource::new(book.clone());
        let asked = Attempt { a_user: caller, shown, ..attempt(&policy, "+442071838750", at(0)) };
        let admitted = admission.admit(&policy, &prices, &asked).unwrap_or_else(|r| panic!("{caller:?}: {} {}", r.refusal.name(), r.detail));
        assert_eq!((admitted.a_name.as_str(), admitted.facts.cnam_source.as_str()), (name, source), "{caller:?} {shown:?}");
        assert_eq!(prices.0.lock().expect("a lock").as_slice(), [named], "{caller:?} {shown:?}");
        assert_eq!(book.0.lock().expect("a lock").is_empty(), matches!(source, "" | "none" | "sent"), "{caller:?} {shown:?}");
    }
}

#[test]
fn r_29_an_account_asks_for_the_names_of_all_its_trunks() {
    let policy = policy(r#""cnam": true"#, &wide("", US));
    let mut admission = Admission::default();
    admission.caller_names = PortabilitySource::new(Arc::new(Book::default()));
    let asked = Attempt { a_user: Some("+12125550198"), ..attempt(&policy, "+442071838750", at(0)) };
    let admitted = admission.admit(&policy, &Naming::default(), &asked).expect("admitted");
    assert_eq!(admitted.a_name, "ACME LTD");
}
