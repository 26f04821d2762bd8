//! Alerts about destinations that lose carriers (S1-85, S1-27): raised once when a change of provisioning leaves what is sold without
//! a carrier (`no_route`, critical) or on one upstream (`diversity_1`, warning), and closed by the change that mends it.
//!
//! A thread of its own looks after every change that this process decided, at what is in force then: decisions never wait for it, and
//! several quick ones are looked at as one. Of processes that share a log each tells of its own decisions. What was so before the
//! start is not told again; a row that ends by its date is seen with the next change.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::sync_channel},
    thread,
};

use tollgate_rating::coverage::{Coverage, Gap};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    log::{Append, Claim, Topic, Urgency},
    v1::{AlertClosed, AlertRaised},
};

use super::Shared;

/// Alerts raised by one change, by name of destination; beyond, one alert says how many more there are.
const MAX_RAISED: usize = 500;

/// Upstreams by destination.
type Upstreams = BTreeMap<String, u64>;

fn rule(gap: Gap) -> &'static str {
    match gap {
        Gap::NoCarrier => "no_route",
        Gap::OneUpstream => "diversity_1",
    }
}

/// What a change comes to, in alerts and closings. `before` empty: nothing was sold, so nothing was lost.
fn told(before: &Upstreams, after: &Coverage) -> Vec<Body> {
    let mut out = Vec::new();
    let mut raised = 0;
    for destination in &after.destinations {
        let was = before.get(&destination.destination).copied();
        let (old, new) = (was.and_then(Gap::of), Gap::of(destination.diversity));
        if let Some(old) = old.filter(|o| Some(*o) != new) {
            let explanation = format!("{} upstreams reach all of it", destination.diversity);
            out.push(closed(old, &destination.destination, explanation));
        }
        // New on sale: a gap is a mistake, one upstream is how it was begun.
        let worse = match was {
            Some(was) => destination.diversity < was,
            None => !before.is_empty() && new == Some(Gap::NoCarrier),
        };
        if let Some(gap) = new.filter(|_| worse || old.is_some_and(|o| Some(o) != new)) {
            raised += 1;
            if raised <= MAX_RAISED {
                out.push(opened(gap, &destination.destination, explain(gap, destination)));
            }
        }
    }
    // What is not sold any more has no gap.
    let sold = |name: &str| after.destinations.binary_search_by(|d| d.destination.as_str().cmp(name)).is_ok();
    for (name, upstreams) in before.iter().filter(|(name, _)| !sold(name)) {
        out.extend(Gap::of(*upstreams).map(|gap| closed(gap, name, "it is not sold any more".to_owned())));
    }
    if raised > MAX_RAISED {
        let explanation = format!("{} more destinations lost carriers: see tollgate deck coverage", raised - MAX_RAISED);
        out.push(Body::AlertRaised(AlertRaised { rule: "no_route".to_owned(), severity: "critical".to_owned(), explanation, ..AlertRaised::default() }));
    }
    out
}

fn explain(gap: Gap, of: &tollgate_rating::coverage::Destination) -> String {
    match gap {
        Gap::NoCarrier => {
            let more = if of.uncovered as usize > of.uncovered_prefixes.len() { " and more" } else { "" };
            format!("no carrier takes {} of its {} prefixes ({}{more}): calls there are refused with 404 no_route", of.uncovered, of.prefixes, of.uncovered_prefixes.join(" "))
        }
        Gap::OneUpstream => "diversity=1: everything that takes some of it runs over one upstream".to_owned(),
    }
}

fn opened(gap: Gap, destination: &str, explanation: String) -> Body {
    let severity = if gap == Gap::NoCarrier { "critical" } else { "warning" };
    Body::AlertRaised(AlertRaised {
        rule: rule(gap).to_owned(),
        severity: severity.to_owned(),
        dest_group: destination.to_owned(),
        explanation,
        stays_open: true,
        ..AlertRaised::default()
    })
}

fn closed(gap: Gap, destination: &str, explanation: String) -> Body {
    Body::AlertClosed(AlertClosed { rule: rule(gap).to_owned(), account: String::new(), dest_group: destination.to_owned(), explanation })
}

fn upstreams(coverage: &Coverage) -> Upstreams {
    coverage.destinations.iter().map(|d| (d.destination.clone(), d.diversity)).collect()
}

/// Looks from now on.
pub fn watch(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let (wake, woken) = sync_channel::<()>(1);
    let look = |shared: &Shared| {
        let (registry, position, mine) = shared.owner.registry_decided();
        (crate::coverage::of(&registry, (shared.clock)().utc_us), position, mine)
    };
    let mut before = upstreams(&look(shared).0);
    let weak = Arc::downgrade(shared);
    thread::Builder::new().name("coverage".to_owned()).spawn(move || {
        // It ends with the owner, whose call-back holds the other end.
        while woken.recv().is_ok() {
            let Some(shared) = weak.upgrade() else { return };
            let (after, position, mine) = look(&shared);
            let bodies = if mine { told(&before, &after) } else { Vec::new() };
            before = upstreams(&after);
            let event = |body| {
                let origin = Origin { mint: &shared.mint, boot_id: shared.boot_id, now: (shared.clock)(), control_position: position };
                Append { topic: Topic::Alerts, partition: 0, event: Event::born(origin, "", body) }
            };
            let events: Vec<Append> = bodies.into_iter().map(event).collect();
            if !events.is_empty()
                && let Err(error) = shared.log.append(events, Urgency::Group, Claim::Reserved)
            {
                tracing::error!(%error, "alerts about coverage cannot be written: see tollgate deck coverage");
            }
        }
    })?;
    // One that is not looked at yet stands for all.
    shared.owner.on_plan(Box::new(move |_| {
        let _ = wake.try_send(());
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use tollgate_rating::coverage::Destination;

    use super::*;

    fn coverage(of: &[(&str, u64)]) -> Coverage {
        let destination = |(name, diversity): &(&str, u64)| Destination {
            destination: (*name).to_owned(),
            sell_decks: Vec::new(),
            prefixes: 1,
            carriers: Vec::new(),
            uncovered: u64::from(*diversity == 0),
            uncovered_prefixes: if *diversity == 0 { vec!["81".to_owned()] } else { Vec::new() },
            diversity: *diversity,
        };
        Coverage { destinations: of.iter().map(destination).collect(), gaps: 0, single_upstream: 0 }
    }

    fn said(before: &[(&str, u64)], after: &[(&str, u64)]) -> Vec<String> {
        let text = |body: Body| match body {
            Body::AlertRaised(a) => format!("raised {} {} {}", a.rule, a.severity, a.dest_group),
            Body::AlertClosed(a) => format!("closed {} {}", a.rule, a.dest_group),
            other => panic!("{other:?}"),
        };
        told(&upstreams(&coverage(before)), &coverage(after)).into_iter().map(text).collect()
    }

    #[test]
    fn s1_85_a_lost_carrier_is_told_once_and_closed_when_it_is_covered_again() {
        assert_eq!(said(&[("japan", 2)], &[("japan", 1)]), ["raised diversity_1 warning japan"]);
        assert_eq!(said(&[("japan", 1)], &[("japan", 1)]), [""; 0], "once");
        assert_eq!(said(&[("japan", 1)], &[("japan", 0)]), ["closed diversity_1 japan", "raised no_route critical japan"]);
        assert_eq!(said(&[("japan", 3)], &[("japan", 0)]), ["raised no_route critical japan"]);
        assert_eq!(said(&[("japan", 0)], &[("japan", 1)]), ["closed no_route japan", "raised diversity_1 warning japan"]);
        assert_eq!(said(&[("japan", 0), ("uk", 1)], &[("japan", 2), ("uk", 2)]), ["closed no_route japan", "closed diversity_1 uk"]);
        // The first provisioning loses nothing; what is put on sale later and nobody takes is a mistake.
        assert_eq!(said(&[], &[("japan", 0), ("uk", 1)]), [""; 0]);
        assert_eq!(said(&[("uk", 2)], &[("japan", 0), ("peru", 1), ("uk", 2)]), ["raised no_route critical japan"]);
        // What is not sold any more has no gap.
        assert_eq!(said(&[("japan", 0), ("uk", 2)], &[("uk", 2)]), ["closed no_route japan"]);
    }

    #[test]
    fn s1_85_a_change_that_breaks_everything_is_told_in_a_bounded_number_of_alerts() {
        let many: Vec<String> = (0..2_000).map(|n| format!("d{n:04}")).collect();
        let of = |upstreams: u64| many.iter().map(|n| (n.as_str(), upstreams)).collect::<Vec<_>>();
        let told = said(&of(2), &of(0));
        assert_eq!((told.len(), told.last().map(String::as_str)), (MAX_RAISED + 1, Some("raised no_route critical ")));
    }
}
