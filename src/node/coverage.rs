//! Alerts about destinations that lose carriers (S1-85, S1-27): raised once when what is sold is left without a carrier (`no_route`,
//! critical) or on one upstream (`diversity_1`, warning), by a change of provisioning or by a row that comes into force or goes out of it,
//! and closed by what mends it.
//!
//! A thread of its own looks after every change and at every instant at which a row of a deck that is sold or bought changes force:
//! decisions never wait for it, several quick ones are looked at as one, and looks by date take no more than a twentieth of a core.
//!
//! **What was told** is kept as a snapshot in the log, committed together with the alerts that follow from it, and so is where in topic
//! `alerts` it was told: a start goes on from there, with what was told since, so that a crash between a change and its alerts loses none
//! and tells none twice. The first look of all tells nothing: what was so before is how it was begun.
//!
//! Of processes that share a log the one that made the newest decision tells; another sees what it told in topic `alerts`, and tells what
//! is still missing after [`PATIENCE`] and up to as long again, each at its own time.

mod told;

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tollgate_rating::coverage::{Coverage, Gap};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    log::{Append, EventLog, LogError, Topic},
    v1::{AlertClosed, AlertRaised},
};

use super::Shared;
use told::{Told, Upstreams, upstreams};

/// Alerts raised by one change, by name of destination; beyond, one alert says how many more there are.
const MAX_RAISED: usize = 500;

/// How long what another process should tell may be missing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest sleep: the wall clock may be set meanwhile.
const NAP: Duration = Duration::from_secs(60);
/// Between looks by date, at least, and so many times what the last look took.
const BETWEEN: Duration = Duration::from_secs(1);
const REST: u32 = 20;
/// When a log that could not be read or written is tried again.
const AGAIN: Duration = Duration::from_secs(10);

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

/// When to look again.
struct Due {
    /// The next instant of provisioning's own, UTC.
    change_us: Option<i64>,
    /// Not sooner for that.
    rested: Instant,
    /// What another process should have told by then, or what the log did not take.
    missing: Option<Instant>,
}

impl Due {
    fn sleep(&self, now_us: i64) -> Duration {
        let until = |at_us: i64| Duration::from_micros(at_us.saturating_sub(now_us).max(0) as u64);
        let change = self.change_us.map(|at_us| until(at_us).max(self.rested.saturating_duration_since(Instant::now())));
        let missing = self.missing.map(|at| at.saturating_duration_since(Instant::now()));
        [Some(NAP), change, missing].into_iter().flatten().min().unwrap_or(NAP)
    }

    fn is_due(&self, now_us: i64) -> bool {
        let now = Instant::now();
        self.change_us.is_some_and(|at_us| at_us <= now_us && self.rested <= now) || self.missing.is_some_and(|at| at <= now)
    }
}

struct Watch {
    /// None: not read yet.
    told: Option<Told>,
    /// What was so at the start: told of, where nothing ever was.
    first: Upstreams,
    due: Due,
    /// Control events that the last look saw, and whether the newest decision was made by this process.
    position: u64,
    newest_is_ours: bool,
    /// Longer for another node of the same log.
    patience: Duration,
}

impl Watch {
    /// What was told up to now, here or by another process.
    fn told(&mut self, log: &dyn EventLog) -> Result<Told, LogError> {
        let mut told = match self.told.take() {
            Some(told) => told,
            None => match Told::restore(log)? {
                Some(told) => told,
                None => {
                    let told = Told { upstreams: self.first.clone(), next: log.end(Topic::Alerts, 0) };
                    log.commit(Vec::new(), Vec::new(), vec![told.snapshot()])?;
                    told
                }
            },
        };
        let followed = told.follow(log);
        self.told = Some(told.clone());
        followed.map(|()| told)
    }

    fn look(&mut self, shared: &Shared) {
        let began = Instant::now();
        let is_missing = self.due.missing.is_some_and(|at| at <= began);
        let log = &*shared.log;
        let (registry, position, decided_here) = shared.owner.registry_decided();
        if position != self.position {
            (self.position, self.newest_is_ours) = (position, decided_here);
        }
        let now = (shared.clock)();
        let after = crate::coverage::of(&registry, now.utc_us);
        self.due.change_us = crate::coverage::next_change(&registry, now.utc_us);
        self.due.rested = Instant::now() + BETWEEN.max(began.elapsed() * REST);
        let before = match self.told(log) {
            Ok(before) => before,
            Err(error) => {
                tracing::warn!(%error, "what was told of coverage cannot be read");
                self.due.missing = Some(began + AGAIN);
                return;
            }
        };
        let bodies = told(&before.upstreams, &after);
        if bodies.is_empty() || !log.shared() || self.newest_is_ours || is_missing {
            self.due.missing = None;
            let origin = Origin { mint: &shared.mint, boot_id: shared.boot_id, now, control_position: position };
            self.tell(log, &before, bodies, &after, origin);
        } else {
            self.due.missing.get_or_insert(began + self.patience);
        }
    }

    fn tell(&mut self, log: &dyn EventLog, before: &Told, bodies: Vec<Body>, after: &Coverage, origin: Origin<'_>) {
        let quiet = bodies.is_empty();
        let events = bodies.into_iter().map(|body| Append { topic: Topic::Alerts, partition: 0, event: Event::born(origin, "", body) }).collect();
        let next = Told { upstreams: upstreams(after), next: before.next };
        if quiet && next == *before {
            return;
        }
        match log.commit(events, Vec::new(), vec![next.snapshot()]) {
            Ok(_) => self.told = Some(next),
            Err(error) => {
                // Nothing was told: the next look tells it.
                tracing::error!(%error, "alerts about coverage cannot be written: see tollgate deck coverage");
                self.due.missing = Some(Instant::now() + AGAIN);
            }
        }
    }

    fn run(mut self, woken: &Receiver<()>, shared: &std::sync::Weak<Shared>, clock: fn() -> tollgate_schemas::time::Now) {
        loop {
            match woken.recv_timeout(self.due.sleep(clock().utc_us)) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) if self.due.is_due(clock().utc_us) => {}
                Err(RecvTimeoutError::Timeout) => continue,
                // It ends with the owner, whose call-back holds the other end.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let Some(shared) = shared.upgrade() else { return };
            self.look(&shared);
        }
    }
}

/// Looks from now on, and at what changed since it was looked last.
pub fn watch(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let (wake, woken) = sync_channel::<()>(1);
    let patience = PATIENCE + PATIENCE * (shared.mint.mint().node() % 32) as u32 / 32;
    let due = Due { change_us: None, rested: Instant::now(), missing: None };
    let first = upstreams(&crate::coverage::of(&shared.owner.registry().0, (shared.clock)().utc_us));
    let mut watch = Watch { told: None, first, due, position: 0, newest_is_ours: false, patience };
    // A log that is shared may be away: there the thread looks first.
    if shared.log.shared() {
        let _ = wake.try_send(());
    }
    // One that is not looked at yet stands for all.
    shared.owner.on_plan(Box::new(move |_| {
        let _ = wake.try_send(());
    }));
    // Nothing is decided here before what was so at the start is kept.
    if !shared.log.shared() {
        watch.look(shared);
    }
    let (weak, clock) = (Arc::downgrade(shared), shared.clock);
    thread::Builder::new().name("coverage".to_owned()).spawn(move || watch.run(&woken, &weak, clock))?;
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
