//! The second fold: what holds of what the partitions published.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_fraud::{
    Merged,
    figures::{Figure, Figures, Kind},
    merged::{KEEP_US, Thresholds},
};
use tollgate_schemas::{
    stage::{Outputs, Stage},
    v1::{Event, PartialPublished},
};

use super::calls::*;

/// Shares of a few keys, with several revisions of each.
fn any_shares() -> impl Strategy<Value = Vec<PartialPublished>> {
    let one = (0..3usize, 0..3u8, 0..40i64, 0..4u32, 1..4u64, prop::collection::vec(0..50i64, 14));
    prop::collection::vec(one, 1..120).prop_map(|shares| {
        // A share of one place and revision says one thing, whoever repeats it.
        let mut known = BTreeMap::new();
        for (kind, key, minute, source, revision, values) in shares {
            let figures: Vec<_> = Figure::ALL.into_iter().zip(values).collect();
            let made = share(Kind::ALL[kind], &format!("k{key}"), minute, source, revision, &figures);
            known.entry((kind, key, minute, source, revision)).or_insert(made);
        }
        known.into_values().collect()
    })
}

/// The figures of every key and kept window: of each source the highest revision, added up.
fn model(shares: &[PartialPublished]) -> BTreeMap<(String, String, i64), Figures> {
    let newest_us = shares.iter().map(|p| p.window_start_us + 60 * SECOND).max().unwrap_or(0);
    let mut best: BTreeMap<_, &PartialPublished> = BTreeMap::new();
    for p in shares.iter().filter(|p| p.window_start_us >= newest_us - KEEP_US) {
        let place = best.entry((p.kind.clone(), p.key.clone(), p.window_start_us, p.source_partition)).or_insert(p);
        if p.revision > place.revision {
            *place = p;
        }
    }
    let mut sums: BTreeMap<_, Figures> = BTreeMap::new();
    for ((kind, key, start_us, _), p) in best {
        sums.entry((kind, key, start_us)).or_default().add_all(&Figures::of(&p.figures));
    }
    sums
}

fn merged(events: &[Event]) -> Merged {
    let mut stage = Merged::new(0);
    play(&mut stage, events);
    stage
}

fn holds(stage: &Merged, shares: &[PartialPublished]) -> Result<(), TestCaseError> {
    let want = model(shares);
    for kind in Kind::ALL {
        for key in ["k0", "k1", "k2"] {
            for minute in 0..40 {
                let start_us = T0 + minute * 60 * SECOND;
                let none = Figures::default();
                let want = want.get(&(kind.name().to_owned(), key.to_owned(), start_us)).unwrap_or(&none);
                prop_assert_eq!(&stage.figures(kind, key, start_us, start_us + 60 * SECOND), want, "{} {} {}", kind.name(), key, minute);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn design_2_repeats_and_any_order_of_partials_change_nothing(
        (shares, order) in any_shares().prop_flat_map(|s| {
            // Each share once or more, in any order.
            let n = s.len();
            let again = prop::collection::vec(0..n, 0..n);
            (Just(s), again.prop_flat_map(move |again| Just((0..n).chain(again).collect::<Vec<_>>()).prop_shuffle()))
        }),
    ) {
        let events: Vec<Event> = order.iter().enumerate().map(|(n, i)| shared(n as u128, shares[*i].clone())).collect();
        holds(&merged(&events), &shares)?;
    }

    #[test]
    fn design_2_a_snapshot_and_the_tail_equal_never_having_stopped(shares in any_shares(), cut in 0.0..1.0f64) {
        let events: Vec<Event> = shares.iter().enumerate().map(|(n, p)| shared(n as u128, p.clone())).collect();
        let at = (cut * events.len() as f64) as usize;
        let mut first = Merged::new(0);
        let mut said = play(&mut first, &events[..at]);
        let mut second = Merged::new(0);
        second.restore(&first.snapshot()).expect("our own snapshot");
        prop_assert_eq!(second.snapshot(), first.snapshot());
        said.extend(play(&mut second, &events[at..]));
        let mut whole = Merged::new(0);
        let all = play(&mut whole, &events);
        prop_assert_eq!(said.iter().map(|a| &a.event).collect::<Vec<_>>(), all.iter().map(|a| &a.event).collect::<Vec<_>>());
        prop_assert_eq!(second.snapshot(), whole.snapshot());
    }
}

#[test]
fn the_memory_of_shares_is_bounded_and_what_is_longest_unheard_goes_first() {
    let mut stage = Merged::with(0, Thresholds::default(), 64);
    for n in 0..200u32 {
        let key = format!("10.0.0.{n}");
        play(&mut stage, &[shared(n.into(), share(Kind::SourceIp, &key, i64::from(n / 10), 0, 1, &[(Figure::Attempts, 1)]))]);
    }
    let kept = |n: u32| stage.figures(Kind::SourceIp, &format!("10.0.0.{n}"), 0, i64::MAX).get(Figure::Attempts) == 1;
    let count = (0..200).filter(|n| kept(*n)).count();
    assert!((60..=64).contains(&count), "{count} of at most 64");
    assert!((200 - count as u32..200).all(kept), "the newest");
    assert_eq!(stage.stats().keys_dropped, 200 - count as u64);
}

#[test]
fn what_no_partition_can_have_published_is_poison_and_a_newer_kind_is_passed_over() {
    let mut stage = Merged::new(0);
    let right = || share(Kind::SourceIp, "10.0.0.1", 0, 0, 1, &[(Figure::Attempts, 1)]);
    let wrong = [
        PartialPublished { window_s: 61, ..right() },
        PartialPublished { window_start_us: T0 + 1, ..right() },
        PartialPublished { window_start_us: -60 * SECOND, ..right() },
        PartialPublished { source_partition: 70_000, ..right() },
        PartialPublished { key: String::new(), ..right() },
        PartialPublished { key: "k".repeat(600), ..right() },
    ];
    for partial in wrong {
        assert!(stage.apply(0, &shared(1, partial.clone()), &mut Outputs::default()).is_err(), "{partial:?}");
    }
    assert!(stage.apply(0, &shared(1, PartialPublished { kind: "codec".to_owned(), ..right() }), &mut Outputs::default()).is_ok());
    assert_eq!((stage.stats().unknown, stage.stats().merged), (1, 0));
    assert!(Merged::new(1).restore(&stage.snapshot()).is_err(), "of another partition");
}
