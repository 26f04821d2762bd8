//! The owner of provisioning: folds commands into accepted or refused, in one order; answers after the decision is
//! durable (design §2, Control). Its state is the fold of topics `control` and `decks` in this node's log.
//!
//! On a shared log every process that takes commands is an owner. A decision goes to the shared log with the position it was
//! made at, comes back through the mirror, and stands if nothing was decided in between ([`Decisions`]); else it is made again.

mod imports;
mod known;
mod past;
mod sheets;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tollgate_api::ports::{Command, Decision, Document, Fault, Problem};
use tollgate_proxy::routing::SharedPlan;
use tollgate_rating::{deck::deck_version, quality::Quality};
use tollgate_schemas::{
    control::{self, Decisions, Kind},
    event::{Body, Event, Origin},
    id::{Id, Mint},
    log::{Append, Claim, EventLog, Record, Ticket, Topic, Urgency},
    time::Now,
    v1::{ControlApplied, ControlRefused, DeckChunk, DeckClosed},
};

use crate::plan::{PlanProblem, Registry, compile_deck, compile_number_table, currencies, read};
use imports::Imports;
use known::Known;
use sheets::{Sheets, has_sheet, sheet_name};

/// Bytes of a deck file in one event.
const CHUNK: usize = 256 * 1024;
/// How long a decision may take to be durable before whoever asked is told to ask again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Decisions whose fate is remembered for who made them.
const REMEMBERED: usize = 1024;

/// Told of every new plan.
pub type OnPlan = Box<dyn Fn(SharedPlan) + Send + Sync>;

pub struct Owner {
    /// This node's log: what is in force here.
    own: Arc<dyn EventLog>,
    /// Where decisions go: the same, or the log that is shared.
    decided: Arc<dyn EventLog>,
    mint: Arc<Mint>,
    boot_id: u64,
    clock: fn() -> Now,
    state: Mutex<State>,
    moved: Condvar,
    /// One command after the other.
    deciding: Mutex<()>,
    on_plan: Mutex<Vec<OnPlan>>,
    /// Asked before accounts go elsewhere; none in a process without accounts' money.
    settled: OnceLock<Settled>,
    /// Held while money is booked, so that its account stays where it is.
    pub booking: RwLock<()>,
}

/// An account whose money would be looked for elsewhere, or nowhere: a decision gives it another root, or removes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub account: String,
    /// The root it has now, which its money is booked under.
    pub root: String,
    /// None: it is removed.
    pub to: Option<String>,
}

/// What of these accounts is not settled: why each that has something may not go.
pub type Settled = Box<dyn Fn(&[Moved]) -> Result<Vec<PlanProblem>, Fault> + Send + Sync>;

struct State {
    registry: Registry,
    /// Control events folded: the next offset.
    position: u64,
    decisions: Decisions,
    /// Where in topic decks the sheets are.
    sheets: Sheets,
    /// Which sheet a deck had, and since when that was known.
    known: Known,
    /// Sheets that wait for another person's word, and what became of others.
    imports: Imports,
    plan: SharedPlan,
    /// Decisions that came back, newest last, and whether they stand.
    fates: VecDeque<(Id, bool)>,
    /// Decisions of this process that were overtaken and have not come back: they will take up places without standing.
    void: Vec<(Id, Instant)>,
    /// Something was decided in this process since it was asked last.
    decided_here: bool,
}

fn spec_without_sheet(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(object) = spec.as_object_mut() {
        object.remove("csv");
        object.remove("file");
    }
    spec
}

/// Takes a decision's document in.
fn note(registry: &mut Registry, event: &Event) -> anyhow::Result<()> {
    let Some(Body::ControlApplied(applied)) = &event.body else { return Ok(()) };
    let Some(kind) = Kind::from_name(&applied.kind) else { return Ok(()) };
    let at = (kind, applied.name.clone());
    if applied.removed {
        registry.documents.remove(&at);
        return Ok(());
    }
    let spec: Value = serde_json::from_str(&applied.spec_json).context("control event")?;
    registry.documents.insert(at, spec);
    Ok(())
}

impl Owner {
    /// Folds what the node's log has of control and decks. `decided`: the shared log, where there is one.
    pub fn open(
        own: Arc<dyn EventLog>,
        decided: Option<Arc<dyn EventLog>>,
        mint: Arc<Mint>,
        boot_id: u64,
        clock: fn() -> Now,
    ) -> anyhow::Result<Owner> {
        let mut registry = Registry::default();
        let mut sheets = Sheets::default();
        sheets.follow(&*own)?;
        let (mut known, mut imports) = (Known::default(), Imports::default());
        let mut decisions = Decisions::default();
        let position = each(&*own, Topic::Control, |record| {
            for event in decisions.take(record.offset, &record.event) {
                if let Some(Body::ControlApplied(applied)) = &event.body {
                    known.note(record.offset + 1, &event, applied);
                    imports.note(applied)?;
                }
                note(&mut registry, &event)?;
            }
            Ok(())
        })?;
        let with_sheets: Vec<_> =
            registry.documents.iter().filter(|((kind, _), _)| has_sheet(*kind)).map(|((kind, name), spec)| (*kind, name.clone(), spec.clone())).collect();
        for (kind, name, spec) in with_sheets {
            registry.put_sheet(kind, &name, &spec, &sheets, &*own)?;
        }
        let plan = Arc::new(registry.compile(position).map_err(|p| anyhow::anyhow!("provisioning in the log does not compile: {}", join(&p)))?);
        let state = State { registry, position, decisions, sheets, known, imports, plan, fates: VecDeque::new(), void: Vec::new(), decided_here: false };
        let decided = decided.unwrap_or_else(|| own.clone());
        Ok(Owner { own, decided, mint, boot_id, clock, state: Mutex::new(state), moved: Condvar::new(), deciding: Mutex::default(), on_plan: Mutex::default(), settled: OnceLock::new(), booking: RwLock::default() })
    }

    pub fn plan(&self) -> SharedPlan {
        self.lock().plan.clone()
    }

    /// What is known of carriers' quality, where the plans look.
    pub fn quality(&self) -> Quality {
        self.lock().registry.quality.clone()
    }

    /// What is in force, and how many control events lie behind it.
    pub fn registry(&self) -> (Registry, u64) {
        let state = self.lock();
        (state.registry.clone(), state.position)
    }

    /// True when nothing was ever provisioned.
    pub fn is_empty(&self) -> bool {
        self.lock().position == 0
    }

    /// Who knows what accounts have.
    pub fn ask_settled(&self, ask: Settled) {
        let _ = self.settled.set(ask);
    }

    pub fn on_plan(&self, call: OnPlan) {
        self.on_plan.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// The same, and whether any of it since the last question was decided in this process: what is seen belongs together.
    pub fn registry_decided(&self) -> (Registry, u64, bool) {
        let mut state = self.lock();
        (state.registry.clone(), state.position, std::mem::take(&mut state.decided_here))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, kind: Kind, name: &str) -> Option<Document> {
        let state = self.lock();
        state.registry.documents.get(&(kind, name.to_owned())).map(|spec| Document { kind, name: name.to_owned(), spec: spec.clone() })
    }

    pub fn list(&self, kind: Kind) -> Vec<Document> {
        let state = self.lock();
        state.registry.documents.iter().filter(|((k, _), _)| *k == kind).map(|((_, name), spec)| Document { kind, name: name.clone(), spec: spec.clone() }).collect()
    }

    /// A control event that came into this node's log from the shared one.
    pub fn apply(&self, record: &Record) {
        let mut state = self.lock();
        if record.offset < state.position {
            return;
        }
        let standing = state.decisions.take(record.offset, &record.event);
        state.position = record.offset + 1;
        let mut next = state.registry.clone();
        let mut changed = false;
        let id = record.event.id();
        state.void.retain(|(void, _)| *void != id);
        state.fates.push_back((id, false));
        for event in &standing {
            if let Some((_, stands)) = state.fates.iter_mut().rev().find(|(id, _)| *id == event.id()) {
                *stands = true;
            }
            if let Some(Body::ControlApplied(applied)) = &event.body {
                changed = true;
                state.known.note(record.offset + 1, event, applied);
                if let Err(error) = state.imports.note(applied).and_then(|()| self.put(&mut next, applied, &mut state)) {
                    // Its maker compiled it at this very state.
                    tracing::error!(%error, kind = applied.kind, name = applied.name, "a decision cannot be put in force");
                }
            }
        }
        while state.fates.len() > REMEMBERED {
            state.fates.pop_front();
        }
        if changed {
            match next.compile(state.position) {
                Ok(plan) => {
                    state.registry = next;
                    state.plan = Arc::new(plan);
                    if standing.iter().any(|event| event.boot_id == self.boot_id) {
                        state.decided_here = true;
                    }
                    self.tell(state.plan.clone());
                }
                Err(problems) => tracing::error!(problems = join(&problems), "provisioning in the log does not compile: the plan before it stays in force"),
            }
        }
        drop(state);
        self.moved.notify_all();
    }

    /// Puts a decision into a registry, with the sheet it names.
    fn put(&self, registry: &mut Registry, applied: &ControlApplied, state: &mut State) -> anyhow::Result<()> {
        let Some(kind) = Kind::from_name(&applied.kind) else { return Ok(()) };
        let at = (kind, applied.name.clone());
        if applied.removed {
            registry.documents.remove(&at);
            registry.drop_sheet(kind, &applied.name);
            return Ok(());
        }
        let spec: Value = serde_json::from_str(&applied.spec_json).context("control event")?;
        if has_sheet(kind) {
            // The mirror brings decks before the decisions that name them.
            state.sheets.follow(&*self.own)?;
            registry.put_sheet(kind, &applied.name, &spec, &state.sheets, &*self.own)?;
        }
        registry.documents.insert(at, spec);
        Ok(())
    }

    fn tell(&self, plan: SharedPlan) {
        for call in self.on_plan.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            call(plan.clone());
        }
    }

    /// Decides one command. Blocks until the decision is durable.
    pub fn submit(&self, command: &Command) -> Result<Decision, Fault> {
        self.submit_all(std::slice::from_ref(command))
    }

    /// Decides several commands as one: all are accepted or none.
    pub fn submit_all(&self, commands: &[Command]) -> Result<Decision, Fault> {
        let _one = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(decision) = self.decide(commands)? {
                return Ok(decision);
            }
        }
        Err(Fault::Unavailable("others are changing the provisioning at the same time: ask again".to_owned()))
    }

    /// Commands of the first start, if nobody has provisioned anything; true when these were it.
    pub fn submit_first(&self, commands: &[Command]) -> Result<Option<Decision>, Fault> {
        let _one = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_empty() {
            return Ok(None);
        }
        self.decide(commands)
    }

    /// A copy of what is in force, and the position that the next decision is made at.
    fn begin(&self) -> (Registry, u64) {
        let mut state = self.lock();
        state.void.retain(|(_, since)| since.elapsed() < PATIENCE);
        (state.registry.clone(), state.position + state.void.len() as u64)
    }

    /// None when another decision came first.
    fn decide(&self, commands: &[Command]) -> Result<Option<Decision>, Fault> {
        let (mut next, based_on) = self.begin();
        let mut events = Vec::new();
        let mut problems = Vec::new();
        let before = if commands.iter().any(|c| c.kind == Kind::Account) { roots(&next) } else { BTreeMap::new() };
        for command in commands {
            match self.stage(&mut next, command) {
                Ok(more) => events.extend(more),
                Err(more) => problems.extend(more),
            }
        }
        let position = based_on + events.iter().filter(|a: &&Append| a.topic == Topic::Control).count() as u64;
        let mut plan = if problems.is_empty() { next.compile(position).map_err(|more| problems.extend(more)).ok() } else { None };
        let moved = if plan.is_some() && !before.is_empty() { moved(&before, &roots(&next)) } else { Vec::new() };
        // Nothing is booked for them until this is decided.
        let _still = (!moved.is_empty()).then(|| self.booking.write().unwrap_or_else(PoisonError::into_inner));
        if let Some(settled) = self.settled.get().filter(|_| !moved.is_empty()) {
            problems.extend(settled(&moved)?);
            plan = plan.filter(|_| problems.is_empty());
        }
        let Some(plan) = plan else {
            self.note_refusal(commands, &problems)?;
            let one = commands.len() == 1;
            let problems = problems
                .into_iter()
                .map(|p| {
                    let own = one && commands[0].kind == p.kind && commands[0].name == p.name;
                    Problem { message: if own { p.message.clone() } else { p.to_string() }, path: if own { p.path } else { String::new() } }
                })
                .collect();
            return Ok(Some(Decision::Refused { problems }));
        };
        if commands.iter().all(|c| c.dry_run) {
            return Ok(Some(Decision::Accepted { position: based_on }));
        }
        self.commit(next, Arc::new(plan), events, based_on)
    }

    /// Makes a decision durable and puts it in force. `events`: what it is; `next`, `plan`: what it comes to. None when another came first.
    fn commit(&self, next: Registry, plan: SharedPlan, events: Vec<Append>, based_on: u64) -> Result<Option<Decision>, Fault> {
        let count = events.iter().filter(|a| a.topic == Topic::Control).count();
        if self.decided.shared() {
            return self.decide_with_others(events, based_on, count as u32);
        }
        let decisions: Vec<Event> = events.iter().filter(|a| a.topic == Topic::Control).map(|a| a.event.clone()).collect();
        self.append(events)?;
        let mut state = self.lock();
        for (position, event) in (based_on + 1..).zip(&decisions) {
            if let Some(Body::ControlApplied(applied)) = &event.body {
                state.known.note(position, event, applied);
                state.imports.note(applied).map_err(|e| Fault::Internal(e.to_string()))?;
            }
        }
        state.registry = next;
        state.position = based_on + count as u64;
        state.plan = plan;
        state.decided_here = true;
        self.tell(state.plan.clone());
        Ok(Some(Decision::Accepted { position: state.position }))
    }

    /// Says at which position this was decided, and waits for it to come back.
    fn decide_with_others(&self, events: Vec<Append>, based_on: u64, count: u32) -> Result<Option<Decision>, Fault> {
        let (decks, mut decisions): (Vec<Append>, Vec<Append>) = events.into_iter().partition(|a| a.topic == Topic::Decks);
        for (i, decision) in (0..).zip(&mut decisions) {
            if let Some(Body::ControlApplied(applied)) = &mut decision.event.body {
                applied.based_on = Some(based_on);
                (applied.batch_index, applied.batch_count) = if count > 1 { (i, count) } else { (0, 0) };
                decision.event.oldest_reader = tollgate_schemas::event::OLDEST_READER_2;
            }
        }
        let ids: HashSet<Id> = decisions.iter().map(|a| a.event.id()).collect();
        if !decks.is_empty() {
            self.append(decks)?;
        }
        self.append(decisions)?;
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            let own: Vec<bool> = state.fates.iter().filter(|(id, _)| ids.contains(id)).map(|(_, stands)| *stands).collect();
            if own.len() == ids.len() {
                return Ok(own.into_iter().all(|stands| stands).then_some(Decision::Accepted { position: state.position }));
            }
            if own.is_empty() && state.position > based_on {
                // Somebody else's stands there. What was said takes up the next places, and the next decision counts them in.
                let now = Instant::now();
                state.void.extend(ids.iter().map(|id| (*id, now)));
                return Ok(None);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::Unavailable("the decision has not come back from the shared log: look whether it is in force before asking again".to_owned()));
            }
            state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Puts a command into a copy of the registry and gives the events it will be.
    fn stage(&self, registry: &mut Registry, command: &Command) -> Result<Vec<Append>, Vec<PlanProblem>> {
        let (kind, name) = (command.kind, command.name.as_str());
        let problem = |message: String| vec![PlanProblem { kind, name: name.to_owned(), path: String::new(), message }];
        tollgate_schemas::name::check(name).map_err(|e| problem(e.to_string()))?;
        let at = (kind, name.to_owned());
        let mut events = Vec::new();
        let Some(spec) = &command.spec else {
            if registry.documents.remove(&at).is_none() {
                return Err(problem("there is no such document".to_owned()));
            }
            registry.drop_sheet(kind, name);
            events.push(self.applied(command, None));
            return Ok(events);
        };
        let mut spec = spec.clone();
        if kind == Kind::Deck {
            let deck: control::Deck = read(kind, name, &spec).map_err(|p| vec![p])?;
            let Some(sheet) = deck.csv.as_deref() else {
                return Err(problem("a deck needs its sheet as 'csv' (the command line reads 'file' and sends it so)".to_owned()));
            };
            let compiled = compile_deck(name, &deck, sheet.as_bytes())?;
            let version = deck_version(sheet.as_bytes());
            spec = spec_without_sheet(&spec);
            if let Some(object) = spec.as_object_mut() {
                object.insert("version".to_owned(), version.clone().into());
            }
            events.extend(self.sheet_events(name, &version, sheet.as_bytes(), compiled.len() as u64));
            registry.decks.insert(name.to_owned(), compiled);
        }
        if kind == Kind::NumberTable {
            let table: control::NumberTable = read(kind, name, &spec).map_err(|p| vec![p])?;
            let Some(sheet) = table.csv.as_deref() else {
                return Err(problem("a number table needs its rows as 'csv' (the command line reads 'file' and sends it so)".to_owned()));
            };
            let compiled = compile_number_table(name, sheet.as_bytes())?;
            let version = deck_version(sheet.as_bytes());
            spec = spec_without_sheet(&spec);
            if let Some(object) = spec.as_object_mut() {
                object.insert("version".to_owned(), version.clone().into());
            }
            events.extend(self.sheet_events(&sheet_name(kind, name), &version, sheet.as_bytes(), compiled.len() as u64));
            registry.number_tables.insert(name.to_owned(), compiled);
        }
        let foreign = currencies::check(kind, &spec, registry.decks.get(name).filter(|_| kind == Kind::Deck).map(|d| &**d));
        if !foreign.is_empty() {
            return Err(foreign.into_iter().map(|(path, message)| PlanProblem { kind, name: name.to_owned(), path, message }).collect());
        }
        registry.documents.insert(at, spec.clone());
        events.push(self.applied(command, Some(&spec)));
        Ok(events)
    }

    fn born(&self, key: &str, body: Body) -> Event {
        let origin = Origin { mint: &self.mint, boot_id: self.boot_id, now: (self.clock)(), control_position: 0 };
        Event::born(origin, key, body)
    }

    fn applied(&self, command: &Command, spec: Option<&Value>) -> Append {
        let body = Body::ControlApplied(ControlApplied {
            kind: command.kind.name().to_owned(),
            name: command.name.clone(),
            spec_json: spec.map(Value::to_string).unwrap_or_default(),
            removed: spec.is_none(),
            actor: command.actor.clone(),
            reason: command.reason.clone(),
            command_id: String::new(),
            ..ControlApplied::default()
        });
        Append { topic: Topic::Control, partition: 0, event: self.born(&command.name, body) }
    }

    fn sheet_events(&self, name: &str, version: &str, sheet: &[u8], rows: u64) -> Vec<Append> {
        let chunk = |(index, data): (usize, &[u8])| {
            let body = Body::DeckChunk(DeckChunk { deck: name.to_owned(), deck_version: version.to_owned(), index: index as u32, data: data.to_vec() });
            Append { topic: Topic::Decks, partition: 0, event: self.born(name, body) }
        };
        let mut events: Vec<_> = sheet.chunks(CHUNK).enumerate().map(chunk).collect();
        let closed = DeckClosed {
            deck: name.to_owned(),
            deck_version: version.to_owned(),
            chunks: events.len() as u32,
            bytes: sheet.len() as u64,
            sha256: Sha256::digest(sheet).to_vec(),
            rows,
        };
        events.push(Append { topic: Topic::Decks, partition: 0, event: self.born(name, Body::DeckClosed(closed)) });
        events
    }

    fn note_refusal(&self, commands: &[Command], problems: &[PlanProblem]) -> Result<(), Fault> {
        if commands.iter().any(|c| c.dry_run) {
            return Ok(());
        }
        let events: Vec<_> = commands
            .iter()
            .map(|command| {
                let body = Body::ControlRefused(ControlRefused {
                    kind: command.kind.name().to_owned(),
                    name: command.name.clone(),
                    problem: join(problems),
                    actor: command.actor.clone(),
                    command_id: String::new(),
                });
                Append { topic: Topic::Control, partition: 0, event: self.born(&command.name, body) }
            })
            .collect();
        let count = events.len() as u64;
        self.append(events)?;
        if !self.decided.shared() {
            self.lock().position += count;
        }
        Ok(())
    }

    fn append(&self, events: Vec<Append>) -> Result<Ticket, Fault> {
        let ticket = self.decided.append(events, Urgency::Group, Claim::Reserved).map_err(|e| Fault::Unavailable(e.to_string()))?;
        self.decided.wait(ticket, PATIENCE).map_err(|e| Fault::Unavailable(e.to_string()))?;
        Ok(ticket)
    }
}

/// Every account's root, by name.
fn roots(registry: &Registry) -> BTreeMap<String, String> {
    let parent = |name: &str| registry.documents.get(&(Kind::Account, name.to_owned())).and_then(|spec| spec["parent"].as_str());
    let accounts = registry.documents.keys().filter(|(kind, _)| *kind == Kind::Account).map(|(_, name)| name);
    let root = |name: &String| {
        let mut root = name.as_str();
        // A circle is refused elsewhere.
        for _ in 0..64 {
            let Some(above) = parent(root) else { break };
            root = above;
        }
        (name.clone(), root.to_owned())
    };
    accounts.map(root).collect()
}

fn moved(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Moved> {
    let elsewhere = before.iter().filter(|(name, root)| after.get(*name) != Some(root));
    elsewhere.map(|(account, root)| Moved { account: account.clone(), root: root.clone(), to: after.get(account).cloned() }).collect()
}

fn join(problems: &[PlanProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads a single-partition topic from its beginning; gives the next offset.
pub fn each(log: &dyn EventLog, topic: Topic, mut see: impl FnMut(&Record) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let mut next = 0;
    loop {
        let records = log.read(topic, 0, next, 4096)?;
        let Some(last) = records.last() else { return Ok(next) };
        next = last.offset + 1;
        for record in &records {
            see(record)?;
        }
    }
}
