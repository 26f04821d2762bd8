//! Whose figures a call goes by: those of its codec class where they are enough, else those of all calls (R-37).

use tollgate_rating::{quality::GroupKnown, routing::RouteQuery};
use tollgate_schemas::{
    codec::CodecClass,
    v1::{CarrierQuality, ClassQuality, DurationShare, QualityVerdict},
};

use super::made::{NOW, carrier, known, left_out, names, policy, query, sell, table};

fn verdict(all: Vec<CarrierQuality>, classes: Vec<(&str, Vec<CarrierQuality>)>) -> GroupKnown {
    let class = |(name, carriers): (&str, Vec<CarrierQuality>)| ClassQuality { codec_class: name.into(), carriers, ..ClassQuality::default() };
    let classes = classes.into_iter().map(class).collect();
    GroupKnown::new(QualityVerdict { name: "q".into(), carriers: all, classes, asr_e6: 400_000, later_e6: 1_000_000, pdd_ms: 2_000, ..QualityVerdict::default() })
}

/// The order, with whose figures each place is by.
fn order(quality: &GroupKnown, by: &str, class: CodecClass) -> Vec<(String, String, String)> {
    let (carriers, by, price) = (table(vec![carrier("cheap", "1 0.010 1/1"), carrier("dear", "1 0.012 1/1")]), policy(by), sell("0.02", 1, 1));
    let decision = carriers.candidates(&RouteQuery { policy: Some(&by), quality: Some(quality), codec_class: class, sell: Some(&price), ..query() });
    decision.choices().into_iter().filter(|c| c.rank > 0).map(|c| (c.carrier, c.quality, c.quality_class)).collect()
}

fn is(list: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    list.iter().map(|(a, b, c)| ((*a).into(), (*b).into(), (*c).into())).collect()
}

fn few(name: &str) -> CarrierQuality {
    CarrierQuality { carrier: name.into(), state: "neutral".into(), ..CarrierQuality::default() }
}

#[test]
fn r_37_a_call_goes_by_its_class_where_that_says_enough_and_else_by_all_calls() {
    let demoted = |name: &str| CarrierQuality { state: "demoted".into(), ..known(name, 5) };
    // Failing wideband has demoted it there, and among all calls.
    let quality = verdict(
        vec![demoted("cheap"), known("dear", 50)],
        vec![("narrowband", vec![known("cheap", 60), known("dear", 50)]), ("wideband", vec![demoted("cheap"), few("dear")]), ("fax", vec![few("cheap")])],
    );
    for by in [r#"{"order":"cost"}"#, r#"{"order":"score"}"#, r#"{"order":"quality"}"#, r#"{"order":"weight"}"#, r#"{"order":"penalties"}"#] {
        let keeps = is(&[("cheap", "good", "narrowband"), ("dear", "good", "narrowband")]);
        assert_eq!(order(&quality, by, CodecClass::Narrowband), keeps, "{by}");
        assert_eq!(order(&quality, by, CodecClass::Wideband), is(&[("dear", "good", ""), ("cheap", "demoted", "wideband")]), "{by}");
        for class in [CodecClass::Fax, CodecClass::Unknown] {
            assert_eq!(order(&quality, by, class), is(&[("dear", "good", ""), ("cheap", "demoted", "")]), "{by} {class}");
        }
    }
}

#[test]
fn r_37_a_carrier_demoted_in_a_class_stays_so_when_samples_run_out() {
    let quality = verdict(vec![known("cheap", 50), known("dear", 50)], vec![("wideband", vec![CarrierQuality { state: "demoted".into(), ..few("cheap") }])]);
    assert_eq!(order(&quality, "{}", CodecClass::Wideband), is(&[("dear", "good", ""), ("cheap", "demoted", "wideband")]));
    assert_eq!(order(&quality, "{}", CodecClass::Narrowband), is(&[("cheap", "good", ""), ("dear", "good", "")]));
}

#[test]
fn r_37_floors_go_by_the_class_and_false_answer_by_the_carrier() {
    let (carriers, by) = (table(vec![carrier("a", "1 0.010 1/1"), carrier("b", "1 0.012 1/1")]), policy(r#"{"floors":{"asr":"30"}}"#));
    // The class says nothing of the suspicion: it is the carrier's.
    let all = vec![known("a", 50), CarrierQuality { fas_until_us: NOW + 1, ..known("b", 50) }];
    let quality = verdict(all, vec![("wideband", vec![known("a", 20), known("b", 50)])]);
    let out = |class| left_out(&carriers.candidates(&RouteQuery { policy: Some(&by), quality: Some(&quality), codec_class: class, ..query() }));
    assert_eq!(out(CodecClass::Narrowband), [("b".to_owned(), "false_answer")]);
    assert_eq!(out(CodecClass::Wideband), [("a".to_owned(), "quality_floor"), ("b".to_owned(), "false_answer")]);
}

#[test]
fn r_37_lengths_of_calls_are_the_classes_and_are_cut_among_their_like() {
    let carriers = table(vec![carrier("a", "1 0.010 60/60"), carrier("b", "1 0.011 1/1")]);
    // All calls are long; those of the class last half a minute, and `b` is not known there.
    let long = |name| CarrierQuality { acd_ms: 300_000, acd_capped_ms: 300_000, ..known(name, 50) };
    let short = CarrierQuality { acd_ms: 30_000, acd_capped_ms: 30_000, ..known("a", 50) };
    let mut of = verdict(vec![long("a"), long("b")], vec![("fax", vec![short])]).verdict;
    of.durations = vec![DurationShare { mean_ms: 300_000, calls: 100 }];
    of.classes[0].durations = vec![DurationShare { mean_ms: 30_000, calls: 100 }];
    let quality = GroupKnown::new(of);
    let ask = |by: &str, class| {
        let (by, price) = (policy(by), sell("0.02", 1, 1));
        let decision = carriers.candidates(&RouteQuery { policy: Some(&by), quality: Some(&quality), codec_class: class, sell: Some(&price), ..query() });
        (names(&decision), decision.order[0].judged.expect("a policy").score_e8)
    };
    assert_eq!(ask("{}", CodecClass::Narrowband).0, ["a", "b"], "five minutes: the cheaper minute");
    assert_eq!(ask("{}", CodecClass::Fax).0, ["b", "a"], "half a minute: the finer increment");
    // 30 s earn 0.010 − 0.010 over a and 0.010 − 0.0055 over b, in full: neither is short among its like. Each waits 2 s at 0.0001:
    // 0.5·0.0045 − 0.0002 + 0.5·(0 − 0.0002) = 0.00195.
    assert_eq!(ask(r#"{"order":"score"}"#, CodecClass::Fax), (vec!["b".to_owned(), "a".to_owned()], 195_000));
}

proptest::proptest! {
    /// Classes that say nothing change nothing: neither better nor worse than all calls.
    #[test]
    fn r_37_a_class_without_samples_decides_as_all_calls_do(asr in proptest::collection::vec(1u32..100, 2), states in proptest::collection::vec(0usize..3, 2), draw_e6 in 0u32..1_000_000, by in 0usize..5) {
        let all: Vec<CarrierQuality> = ["cheap", "dear"].iter().zip(asr.iter().zip(&states)).map(|(name, (asr, state))| {
            CarrierQuality { state: ["good", "neutral", "demoted"][*state].into(), samples: if *state == 1 { 0 } else { 100 }, ..known(name, *asr) }
        }).collect();
        let with = verdict(all.clone(), vec![("wideband", vec![few("cheap"), few("dear")])]);
        let without = verdict(all, vec![]);
        let (carriers, price) = (table(vec![carrier("cheap", "1 0.010 1/1"), carrier("dear", "1 0.012 1/1")]), sell("0.02", 1, 1));
        let order = ["cost", "score", "quality", "weight", "penalties"][by];
        let by = policy(&format!(r#"{{"order":"{order}","exploration_pct":"5"}}"#));
        let ask = |quality, codec_class| carriers.candidates(&RouteQuery { policy: Some(&by), quality: Some(quality), codec_class, sell: Some(&price), draw_e6, ..query() }).choices();
        proptest::prop_assert_eq!(ask(&with, CodecClass::Wideband), ask(&without, CodecClass::Unknown));
        proptest::prop_assert_eq!(ask(&without, CodecClass::Wideband), ask(&without, CodecClass::Unknown));
    }
}
