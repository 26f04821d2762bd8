//! Events of the tests, and the two stages one behind the other.

use tollgate_rating::quality::{Counter, Figure, Figures, Judge};
use tollgate_schemas::{
    event::Body,
    id::Id,
    stage::{Outputs, Stage},
    v1::{
        CallAnswered, CallAttemptEnded, CallAttempted, CallEnded, CallFacts, CallRinging, CallRouteTried, Event, Personal, QualityCount,
        QualityPublished, QualityVerdict, Tick,
    },
};

pub const START: i64 = 1_780_000_020_000_000;
pub const S: i64 = 1_000_000;

/// How an attempt of a test goes.
#[derive(Debug, Clone, Copy)]
pub enum Goes {
    /// Rings after 1 s, is answered after 5 s, lasts so many seconds.
    Talks(u64),
    /// Answered 0.3 s after the INVITE without ringing, lasts so many seconds, the caller hangs up.
    FalseAnswer(u64),
    /// A final response after 2 s, with ringing before it or without.
    Fails(u32, bool),
    /// We ended it.
    Ours(&'static str),
}

/// Makes the events of calls, in order of time.
pub struct Calls {
    pub at_us: i64,
    next: u128,
    /// Codec class of the calls that follow.
    pub class: &'static str,
    pub events: Vec<Event>,
}

impl Calls {
    pub fn new() -> Calls {
        Calls { at_us: START, next: 1 << 90, class: "", events: Vec::new() }
    }

    fn id(&mut self) -> Id {
        self.next += 1;
        Id(self.next)
    }

    fn put(&mut self, id: Id, at_us: i64, body: Body, personal: Option<Personal>) {
        self.events.push(Event { id: id.to_vec(), occurred_us: at_us, boot_id: 1, mono_ns: (at_us * 1000) as u64, body: Some(body), personal, ..Event::default() });
    }

    /// A call to `group` over carriers one after the other, from another number each time. The clock stays.
    pub fn call(&mut self, group: &str, attempts: &[(&str, Goes)]) -> Id {
        let a = format!("1202555{:04}", self.next % 10_000);
        self.call_of(&a, "442079460001", group, attempts)
    }

    pub fn call_of(&mut self, a: &str, b: &str, group: &str, attempts: &[(&str, Goes)]) -> Id {
        let call = self.id();
        let mut at = self.at_us;
        let facts = CallFacts { account: "acme".into(), b_dest_group: group.into(), emergency: group == "emergency", codec_class: self.class.into(), ..CallFacts::default() };
        let personal = Personal { a_e164: a.into(), b_e164: b.into(), ..Personal::default() };
        self.put(call, at, Body::CallAttempted(CallAttempted { facts: Some(facts), ..CallAttempted::default() }), Some(personal));
        let call_id = call.to_vec();
        let (mut answered, mut lasted, mut hangup) = (0, 0, "callee");
        for (no, (carrier, goes)) in (1..).zip(attempts) {
            let id = self.id();
            self.put(id, at, Body::CallRouteTried(CallRouteTried { call_id: call_id.clone(), attempt_no: no, carrier: (*carrier).into(), ..CallRouteTried::default() }), None);
            let (mut sip_code, mut rang_us, mut local_cause) = (200, 0, "");
            match *goes {
                Goes::Talks(s) | Goes::FalseAnswer(s) => {
                    let early = matches!(goes, Goes::FalseAnswer(_));
                    if !early {
                        rang_us = at + S;
                        let id = self.id();
                        self.put(id, rang_us, Body::CallRinging(CallRinging { call_id: call_id.clone(), attempt_no: no, code: 180, ..CallRinging::default() }), None);
                    }
                    at += if early { 300_000 } else { 5 * S };
                    let id = self.id();
                    self.put(id, at, Body::CallAnswered(CallAnswered { call_id: call_id.clone(), attempt_no: no, carrier: (*carrier).into(), b_dest_group: group.into(), ..CallAnswered::default() }), None);
                    at += s as i64 * S;
                    (answered, lasted) = (no, s * 1000);
                    if early {
                        hangup = "caller";
                    }
                }
                Goes::Fails(code, rang) => {
                    if rang {
                        rang_us = at + S;
                    }
                    at += 2 * S;
                    sip_code = code;
                }
                Goes::Ours(cause) => {
                    at += 2 * S;
                    (sip_code, local_cause) = (0, cause);
                }
            }
            let id = self.id();
            let ended = CallAttemptEnded {
                call_id: call_id.clone(),
                attempt_no: no,
                carrier: (*carrier).into(),
                sip_code,
                local_cause: local_cause.into(),
                duration_ms: lasted,
                first_18x_us: rang_us,
                ..CallAttemptEnded::default()
            };
            self.put(id, at, Body::CallAttemptEnded(ended), None);
        }
        let id = self.id();
        let ended = CallEnded { call_id, duration_ms: lasted, answered_attempt: answered, hangup_party: hangup.into(), ..CallEnded::default() };
        self.put(id, at, Body::CallEnded(ended), None);
        call
    }

    pub fn wait(&mut self, seconds: i64) {
        self.at_us += seconds * S;
    }

    pub fn tick(&mut self) {
        let (id, at_us) = (self.id(), self.at_us);
        self.put(id, at_us, Body::Tick(Tick { at_us }), None);
    }

    /// All events so far, in the order of time, and none left.
    pub fn take(&mut self) -> Vec<Event> {
        let mut events = std::mem::take(&mut self.events);
        events.sort_by_key(|e| e.occurred_us);
        events
    }
}

/// Applies events and gives what the stage said.
pub fn apply(stage: &mut dyn Stage, events: &[Event]) -> Vec<Event> {
    let mut out = Outputs::default();
    for (offset, event) in (0..).zip(events) {
        stage.apply(offset, event, &mut out).unwrap_or_else(|e| panic!("{e}"));
    }
    out.appends.into_iter().map(|a| a.event).collect()
}

/// Counts and judges.
pub struct Stages {
    pub counter: Counter,
    pub judge: Judge,
}

impl Stages {
    pub fn new() -> Stages {
        Stages { counter: Counter::new(0, 1), judge: Judge::new(0) }
    }

    /// The verdicts that follow from these events.
    pub fn feed(&mut self, events: &[Event]) -> Vec<QualityVerdict> {
        let counts = apply(&mut self.counter, events);
        verdicts(&apply(&mut self.judge, &counts))
    }
}

pub fn verdicts(events: &[Event]) -> Vec<QualityVerdict> {
    let verdict = |e: &Event| match &e.body {
        Some(Body::QualityPublished(q)) => q.judged.clone(),
        _ => None,
    };
    events.iter().filter_map(verdict).collect()
}

/// The newest revision's figures of each minute and codec class, summed.
pub fn counted(events: &[Event], group: &str, carrier: &str) -> Figures {
    counted_of(events, group, carrier, |_| true)
}

/// The same of some codec classes.
pub fn counted_of(events: &[Event], group: &str, carrier: &str, class: impl Fn(&str) -> bool) -> Figures {
    let mut newest = std::collections::BTreeMap::new();
    for event in events {
        if let Some(Body::QualityPublished(QualityPublished { dest_group, counted: Some(c), .. })) = &event.body
            && dest_group == group
            && c.carrier == carrier
            && class(&c.codec_class)
        {
            newest.insert((c.window_start_us, &c.codec_class), (c.revision, Figures::of(&c.figures)));
        }
    }
    let mut sum = Figures::default();
    newest.values().for_each(|(_, f)| sum.add_all(f));
    sum
}

/// A count as an event of its own, for the judge alone: `first` attempts, `answered` of them, in the minute of `at_us`.
pub fn count(at_us: i64, carrier: &str, revision: u64, source: u32, fill: impl FnOnce(&mut Figures)) -> Event {
    count_of("", at_us, carrier, revision, source, fill)
}

/// The same of one codec class.
pub fn count_of(class: &str, at_us: i64, carrier: &str, revision: u64, source: u32, fill: impl FnOnce(&mut Figures)) -> Event {
    let mut figures = Figures::default();
    fill(&mut figures);
    let counted = QualityCount {
        carrier: carrier.into(),
        window_start_us: at_us.div_euclid(60 * S) * 60 * S,
        window_s: 60,
        source_partition: source,
        revision,
        figures: figures.published(),
        codec_class: class.into(),
    };
    let body = Body::QualityPublished(QualityPublished { dest_group: "UK".into(), counted: Some(counted), judged: None });
    Event { id: Id(at_us as u128 * 1_000 + u128::from(revision)).to_vec(), occurred_us: at_us, body: Some(body), ..Event::default() }
}

pub fn first(f: &mut Figures, attempts: u64, answered: u64) {
    f.add(Figure::First, attempts);
    f.add(Figure::FirstAnswered, answered);
}
