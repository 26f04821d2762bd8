//! The lessor: who gets how much of a limit, what counts as given, and that it is a fold like any other.

use proptest::prelude::*;
use prost::Message;
use tollgate_rating::lease::{Lessor, LessorRules, MAX_NODES};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::Mint,
    log::Topic,
    stage::{Outputs, Stage},
    time::Now,
    v1::{LeaseAsked, LeaseDemand, LeaseGranted},
};

const RULES: LessorRules = LessorRules { hold_ms: 10_000, keep_ms: 30_000 };
const T0: i64 = 1_795_262_400_000_000;

/// A lessor and the nodes that ask it.
struct House {
    lessor: Lessor,
    mints: Vec<Mint>,
    at_ms: i64,
}

fn demand(scope: &str, name: &str, channels: (u32, u32, u32), cps: (u32, u32)) -> LeaseDemand {
    LeaseDemand {
        scope: scope.to_owned(),
        name: name.to_owned(),
        channels_limit: channels.0,
        channels_used: channels.1,
        channels_wanted: channels.2,
        cps_limit: cps.0,
        cps_offered: cps.1,
        ..LeaseDemand::default()
    }
}

/// Of trunk `t`, 100 channels and no other limit.
fn channels(used: u32, wanted: u32) -> LeaseDemand {
    demand("trunk", "t", (100, used, wanted), (0, 0))
}

/// Stands for what a demand says it has applied: [`House::event`] puts it in its place.
fn applied(revision: u64) -> LeaseDemand {
    LeaseDemand { scope: "applied".to_owned(), name: revision.to_string(), ..LeaseDemand::default() }
}

fn only_grant(out: Outputs) -> Option<LeaseGranted> {
    let mut grants: Vec<_> = out
        .appends
        .into_iter()
        .map(|append| {
            assert_eq!((append.topic, append.partition), (Topic::Leases, 3));
            match append.event.body {
                Some(Body::LeaseGranted(granted)) => granted,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert!(grants.len() < 2, "one demand, one answer");
    grants.pop()
}

impl House {
    fn new() -> House {
        House { lessor: Lessor::new(3, RULES), mints: (0..100).map(|node| Mint::new(node, 1)).collect(), at_ms: 0 }
    }

    fn event(&self, node: usize, demands: Vec<LeaseDemand>) -> Event {
        let mint = &self.mints[node];
        let now = Now { utc_us: T0 + self.at_ms * 1_000, mono_ns: 0 };
        let (applied, demands): (Vec<_>, Vec<_>) = demands.into_iter().partition(|d| d.scope == "applied");
        let applied_revision = applied.first().map_or(0, |d| d.name.parse().expect("a revision"));
        let asked = LeaseAsked { node: mint.node_name(), demands, applied_revision, ..LeaseAsked::default() };
        Event::born(Origin { mint, boot_id: 1, now, control_position: 1 }, "leases", Body::LeaseAsked(asked))
    }

    fn apply(&mut self, event: &Event) -> Option<LeaseGranted> {
        let mut out = Outputs::default();
        self.lessor.apply(0, event, &mut out).expect("applies");
        only_grant(out)
    }

    fn ask(&mut self, node: usize, demands: Vec<LeaseDemand>) -> Option<LeaseGranted> {
        self.apply(&self.event(node, demands))
    }

    /// Asks for channels of `t`; gives revision and share.
    fn channels(&mut self, node: usize, revision: u64, used: u32, wanted: u32) -> (u64, u32) {
        let granted = self.ask(node, vec![applied(revision), channels(used, wanted)]).expect("a grant");
        assert_eq!(granted.node, self.mints[node].node_name());
        assert_eq!((granted.hold_ms, granted.keep_ms), (RULES.hold_ms, RULES.keep_ms));
        assert_eq!(granted.shares.len(), 1);
        (granted.revision, granted.shares[0].channels)
    }
}

#[test]
fn one_node_has_the_whole_limit_and_gives_up_what_another_wants_when_it_asks_again() {
    let mut house = House::new();
    let (first, share) = house.channels(0, 0, 10, 30);
    assert_eq!(share, 100);
    let (second, share) = house.channels(1, 0, 5, 40);
    assert_eq!(share, 0, "nothing is free yet");
    // Its next demand is answered with less, but only the one after that says that it has read so.
    let (third, share) = house.channels(0, first, 10, 30);
    assert_eq!(share, 45, "10 and 5 used, 20 and 35 more wanted, 30 to spare");
    assert_eq!(house.channels(1, second, 5, 40).1, 0);
    assert_eq!(house.channels(0, first, 10, 30).1, 45, "the answer was not read before this was asked");
    assert_eq!(house.channels(1, second, 5, 40).1, 0);
    assert_eq!(house.channels(0, third, 10, 30).1, 45);
    assert_eq!(house.channels(1, second, 5, 40).1, 55);
}

#[test]
fn calls_that_are_up_count_even_where_the_share_is_smaller() {
    let mut house = House::new();
    let (first, _) = house.channels(0, 0, 90, 100);
    let (second, _) = house.channels(1, 0, 60, 60);
    let (third, share) = house.channels(0, first, 90, 100);
    assert_eq!(share, 40, "60 are up elsewhere");
    house.channels(0, third, 90, 100);
    assert_eq!(house.channels(1, second, 60, 60).1, 10, "90 are up at the other, whatever its share");
}

#[test]
fn what_a_node_leaves_out_is_given_up_unless_a_grant_of_it_may_still_be_read() {
    let mut house = House::new();
    let other = || demand("carrier", "c", (0, 0, 0), (8, 1));
    let (first, _) = house.channels(0, 0, 10, 10);
    let granted = house.ask(0, vec![applied(first), other()]).expect("a grant");
    assert_eq!(granted.shares.iter().map(|s| (s.scope.as_str(), s.channels, s.cps)).collect::<Vec<_>>(), [("carrier", 0, 8)]);
    assert_eq!(house.channels(1, 0, 1, 1).1, 100, "given up, and read");
    // The other way round: a grant is under way while the scope is given up.
    let mut house = House::new();
    house.channels(0, 0, 10, 10);
    let granted = house.ask(0, vec![applied(0), other()]).expect("a grant");
    assert_eq!(house.channels(1, 0, 1, 1).1, 0, "the grant under way may still be read");
    let newest = house.ask(0, vec![applied(granted.revision), other()]).expect("a grant").revision;
    assert_eq!(house.channels(1, 0, 1, 1).1, 100);
    assert!(house.ask(0, vec![applied(newest)]).is_none(), "nothing asked, nothing answered");
    assert_eq!(house.lessor.sizes(), (2, 1));
}

#[test]
fn a_silent_node_loses_its_share_after_keep_ms_and_not_before() {
    let mut house = House::new();
    house.channels(0, 0, 50, 50);
    let mut revision = 0;
    for second in 1..=30 {
        house.at_ms = second * 1_000;
        let (newest, share) = house.channels(1, revision, 0, 100);
        revision = newest;
        assert_eq!(share, 0, "second {second}");
    }
    house.at_ms = 31_000;
    assert_eq!(house.channels(1, revision, 0, 100).1, 100);
}

#[test]
fn nobody_loses_a_share_to_an_hour_without_the_log() {
    let mut house = House::new();
    let (first, _) = house.channels(0, 0, 50, 50);
    house.channels(1, 0, 20, 20);
    house.channels(0, first, 50, 50);
    house.at_ms = 3_600_000;
    let (_, share) = house.channels(1, 0, 20, 100);
    assert_eq!(share, 0, "the other one was not heard because nobody was");
    let (newest, _) = house.channels(0, 3, 50, 50);
    assert_eq!(house.channels(1, 4, 20, 100).1, 35, "what the other gave up an hour ago");
    house.channels(0, newest, 50, 50);
    assert_eq!(house.channels(1, 4, 20, 100).1, 50);
}

#[test]
fn the_same_demand_again_and_an_earlier_one_say_nothing() {
    let mut house = House::new();
    let early = house.event(0, vec![channels(1, 1)]);
    let late = house.event(0, vec![channels(2, 2)]);
    assert!(house.apply(&late).is_some());
    let before = house.lessor.snapshot();
    assert!(house.apply(&late).is_none() && house.apply(&early).is_none());
    assert_eq!(house.lessor.snapshot(), before);
}

#[test]
fn the_newest_demands_limit_is_the_limit() {
    let mut house = House::new();
    let (first, _) = house.channels(0, 0, 10, 30);
    let narrow = |revision, used| vec![applied(revision), demand("trunk", "t", (20, used, used), (0, 0))];
    let granted = house.ask(0, narrow(first, 10)).expect("a grant");
    assert_eq!(granted.shares[0].channels, 20);
    assert_eq!(house.ask(1, narrow(0, 1)).expect("a grant").shares[0].channels, 0);
    house.ask(0, narrow(granted.revision, 10));
    assert_eq!(house.ask(1, narrow(0, 1)).expect("a grant").shares[0].channels, 0, "15 kept, of them 10 used; nothing read yet");
}

#[test]
fn calls_per_second_follow_the_offer() {
    let mut house = House::new();
    let offer = |revision, calls| vec![applied(revision), demand("trunk", "t", (0, 0, 0), (100, calls))];
    let mut revisions = [0, 0];
    let mut shares = [0, 0];
    for _ in 0..4 {
        for (node, calls) in [(0, 70), (1, 1)] {
            let granted = house.ask(node, offer(revisions[node], calls)).expect("a grant");
            (revisions[node], shares[node]) = (granted.revision, granted.shares[0].cps);
        }
    }
    assert_eq!(shares, [93, 7], "what it is offered, and the least head room for the other");
}

#[test]
fn a_lessor_without_memory_goes_on_from_the_revisions_it_reads() {
    let mut house = House::new();
    for revision in 0..4 {
        house.channels(0, revision, 60, 80);
    }
    let asked = house.event(0, vec![applied(4), channels(60, 80)]);
    let mut out = Outputs::default();
    house.lessor.apply(0, &asked, &mut out).expect("applies");
    // All that a successor sees is the last grant.
    let mut successor = House { lessor: Lessor::new(3, RULES), ..House::new() };
    let mut none = Outputs::default();
    successor.lessor.apply(0, &out.appends[0].event, &mut none).expect("applies");
    assert!(none.appends.is_empty());
    assert_eq!(successor.channels(1, 0, 5, 5), (6, 0), "what was given is given");
    // Or a demand that speaks of a revision it never made.
    let mut successor = House::new();
    assert_eq!(successor.channels(0, 41, 5, 5).0, 42);
}

#[test]
fn tables_are_bounded() {
    let mut house = House::new();
    for node in 0..MAX_NODES {
        assert!(house.ask(node, vec![channels(0, 1)]).is_some());
    }
    assert!(house.ask(MAX_NODES, vec![channels(0, 1)]).is_none(), "one node too many gets no answer");
    // Unread grants are few, whatever their number.
    let mut house = House::new();
    for asked in 0..1_000u32 {
        house.ask(0, vec![applied(0), channels(asked % 7, 10)]);
        house.ask(1, vec![applied(0), channels(asked % 5, 10)]);
    }
    assert!(house.lessor.snapshot().len() < 1_000, "{} bytes", house.lessor.snapshot().len());
}

#[test]
fn who_asks_without_being_a_node_is_poison() {
    let mut house = House::new();
    for node in ["", "12", "zzzzzzzzzzzz"] {
        let mut event = house.event(0, vec![channels(1, 1)]);
        event.body = Some(Body::LeaseAsked(LeaseAsked { node: node.to_owned(), ..LeaseAsked::default() }));
        assert!(house.lessor.apply(0, &event, &mut Outputs::default()).is_err());
    }
    let newer = house.ask(0, vec![demand("account", "credit", (9, 9, 9), (9, 9)), channels(1, 1)]).expect("a grant");
    assert_eq!(newer.shares.len(), 1, "what only a newer program leases is left out");
}

#[test]
fn a_snapshot_of_another_partition_is_refused() {
    assert!(Lessor::new(4, RULES).restore(&House::new().lessor.snapshot()).is_err());
    assert!(Lessor::new(3, RULES).restore(&[255; 9]).is_err());
}

fn encoded(out: &Outputs) -> Vec<Vec<u8>> {
    out.appends.iter().map(|append| append.event.encode_to_vec()).collect()
}

proptest! {
    /// Any demands in any order: the same outputs from a lessor that was restored in the middle, and never more out than
    /// there is.
    #[test]
    fn restored_in_the_middle_it_goes_on_as_though_it_had_not_stopped(
        steps in prop::collection::vec((0usize..5, 0u32..120, 0u32..120, 0u32..40, 0i64..9_000, 0u64..4), 1..120),
        cut in 0usize..120,
    ) {
        let mut house = House::new();
        let mut events = Vec::new();
        for (node, used, wanted, cps, gap, late) in steps {
            house.at_ms += gap;
            let names = ["t", "u"];
            let demands = std::iter::once(applied((events.len() as u64).saturating_sub(late)))
                .chain(names.iter().take(1 + used as usize % 2).map(|name| demand("trunk", name, (100, used, wanted), (20, cps))));
            events.push(house.event(node, demands.collect()));
        }
        let mut whole = Outputs::default();
        let mut parts = Outputs::default();
        let mut second = Lessor::new(3, RULES);
        for (offset, event) in events.iter().enumerate() {
            house.lessor.apply(offset as u64, event, &mut whole).expect("applies");
            if offset == cut {
                let state = second.snapshot();
                second = Lessor::new(3, RULES);
                second.restore(&state).expect("restores");
                prop_assert_eq!(second.snapshot(), state);
            }
            second.apply(offset as u64, event, &mut parts).expect("applies");
        }
        prop_assert_eq!(encoded(&whole), encoded(&parts));
        prop_assert_eq!(house.lessor.snapshot(), second.snapshot());
    }
}
