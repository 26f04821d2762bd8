//! The owner of provisioning: folds commands into accepted or refused, in one order; answers after the decision is
//! durable (design §2, Control). Its state is the fold of topics `control` and `decks`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tollgate_api::ports::{Command, Decision, Document, Fault, Problem};
use tollgate_proxy::routing::SharedPlan;
use tollgate_rating::deck::deck_version;
use tollgate_schemas::{
    control::{self, Kind},
    event::{Body, Event, Origin},
    id::Mint,
    log::{Append, Claim, EventLog, Ticket, Topic, Urgency},
    time::Now,
    v1::{ControlApplied, ControlRefused, DeckChunk, DeckClosed},
};

use crate::plan::{PlanProblem, Registry, compile_deck, read};

/// Bytes of a deck file in one event.
const CHUNK: usize = 256 * 1024;
/// How long a decision may take to be durable before whoever asked is told to ask again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Told of every new plan.
pub type OnPlan = Box<dyn Fn(SharedPlan) + Send + Sync>;

pub struct Owner {
    log: Arc<dyn EventLog>,
    mint: Arc<Mint>,
    boot_id: u64,
    clock: fn() -> Now,
    state: Mutex<State>,
    on_plan: Mutex<Vec<OnPlan>>,
}

struct State {
    registry: Registry,
    /// Control events folded: the next offset.
    position: u64,
    plan: SharedPlan,
}

fn spec_without_sheet(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(object) = spec.as_object_mut() {
        object.remove("csv");
        object.remove("file");
    }
    spec
}

impl Owner {
    /// Folds what the log has of control and decks.
    pub fn open(log: Arc<dyn EventLog>, mint: Arc<Mint>, boot_id: u64, clock: fn() -> Now) -> anyhow::Result<Owner> {
        let mut registry = Registry::default();
        let mut sheets: HashMap<(String, String), Vec<u8>> = HashMap::new();
        each(&*log, Topic::Decks, |event| {
            if let Some(Body::DeckChunk(chunk)) = &event.body {
                let sheet = sheets.entry((chunk.deck.clone(), chunk.deck_version.clone())).or_default();
                if chunk.index == 0 {
                    sheet.clear();
                }
                sheet.extend_from_slice(&chunk.data);
            }
            Ok(())
        })?;
        let position = each(&*log, Topic::Control, |event| {
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
        })?;
        let decks: Vec<_> = registry.documents.iter().filter(|((kind, _), _)| *kind == Kind::Deck).map(|((_, n), s)| (n.clone(), s.clone())).collect();
        for (name, spec) in decks {
            let deck: control::Deck = read(Kind::Deck, &name, &spec).map_err(|p| anyhow::anyhow!("{p}"))?;
            let version = deck.version.clone().unwrap_or_default();
            let sheet = sheets.get(&(name.clone(), version.clone())).with_context(|| format!("the log has no sheet of deck '{name}' version {version}"))?;
            let compiled = compile_deck(&name, &deck, sheet).map_err(|p| anyhow::anyhow!("{}", join(&p)))?;
            registry.decks.insert(name, compiled);
        }
        let plan = Arc::new(registry.compile(position).map_err(|p| anyhow::anyhow!("provisioning in the log does not compile: {}", join(&p)))?);
        Ok(Owner { log, mint, boot_id, clock, state: Mutex::new(State { registry, position, plan }), on_plan: Mutex::default() })
    }

    pub fn plan(&self) -> SharedPlan {
        self.lock().plan.clone()
    }

    /// True when nothing was ever provisioned.
    pub fn is_empty(&self) -> bool {
        self.lock().position == 0
    }

    pub fn on_plan(&self, call: OnPlan) {
        self.on_plan.lock().unwrap_or_else(PoisonError::into_inner).push(call);
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

    /// Decides one command. Blocks until the decision is durable.
    pub fn submit(&self, command: &Command) -> Result<Decision, Fault> {
        self.submit_all(std::slice::from_ref(command))
    }

    /// Decides several commands as one: all are accepted or none.
    pub fn submit_all(&self, commands: &[Command]) -> Result<Decision, Fault> {
        let mut state = self.lock();
        let mut next = state.registry.clone();
        let mut events = Vec::new();
        let mut problems = Vec::new();
        for command in commands {
            match self.stage(&mut next, command) {
                Ok(more) => events.extend(more),
                Err(more) => problems.extend(more),
            }
        }
        let applied = events.iter().filter(|a: &&Append| a.topic == Topic::Control).count() as u64;
        let position = state.position + applied;
        let plan = if problems.is_empty() { next.compile(position).map_err(|more| problems.extend(more)).ok() } else { None };
        let Some(plan) = plan else {
            self.note_refusal(commands, &problems, &mut state)?;
            let one = commands.len() == 1;
            let problems = problems
                .into_iter()
                .map(|p| {
                    let own = one && commands[0].kind == p.kind && commands[0].name == p.name;
                    Problem { message: if own { p.message.clone() } else { p.to_string() }, path: if own { p.path } else { String::new() } }
                })
                .collect();
            return Ok(Decision::Refused { problems });
        };
        if commands.iter().all(|c| c.dry_run) {
            return Ok(Decision::Accepted { position: state.position });
        }
        self.append(events)?;
        state.registry = next;
        state.position = position;
        state.plan = Arc::new(plan);
        for call in self.on_plan.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            call(state.plan.clone());
        }
        Ok(Decision::Accepted { position })
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
            registry.decks.remove(name);
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
            events.extend(self.deck_events(name, &version, sheet.as_bytes(), compiled.len() as u64));
            registry.decks.insert(name.to_owned(), compiled);
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

    fn deck_events(&self, name: &str, version: &str, sheet: &[u8], rows: u64) -> Vec<Append> {
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

    fn note_refusal(&self, commands: &[Command], problems: &[PlanProblem], state: &mut State) -> Result<(), Fault> {
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
        state.position += count;
        Ok(())
    }

    fn append(&self, events: Vec<Append>) -> Result<Ticket, Fault> {
        let ticket = self.log.append(events, Urgency::Group, Claim::Reserved).map_err(|e| Fault::Unavailable(e.to_string()))?;
        self.log.wait(ticket, PATIENCE).map_err(|e| Fault::Unavailable(e.to_string()))?;
        Ok(ticket)
    }
}

fn join(problems: &[PlanProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads a single-partition topic from its beginning; gives the next offset.
pub fn each(log: &dyn EventLog, topic: Topic, mut see: impl FnMut(&Event) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let mut next = 0;
    loop {
        let records = log.read(topic, 0, next, 4096)?;
        let Some(last) = records.last() else { return Ok(next) };
        next = last.offset + 1;
        for record in &records {
            see(&record.event)?;
        }
    }
}
