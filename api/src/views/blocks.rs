//! Blocks: active ones all, past ones up to a cap, with what each has stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foldhash::HashMap;
use tollgate_schemas::{
    cdr::Cdr,
    event::{Body, Event},
    id::Id,
    v1::{BlockLifted, BlockPlaced, BlockScope, Feature},
};

/// Blocks kept in all; beyond it the oldest that are lifted or expired are forgotten here.
const KEPT: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockState {
    Active,
    Lifted,
    Expired,
}

impl BlockState {
    pub fn name(self) -> &'static str {
        match self {
            BlockState::Active => "active",
            BlockState::Lifted => "lifted",
            BlockState::Expired => "expired",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub block_id: Id,
    pub placed_us: i64,
    /// Key of the event: root account of whom it concerns.
    pub root_account: String,
    pub scope: BlockScope,
    pub actor: String,
    pub reason: String,
    /// None = until lifted.
    pub expires_us: Option<i64>,
    pub sip_code: u32,
    pub teardown: bool,
    /// The fraud rule that made it; empty for a person's.
    pub rule: String,
    pub evidence: Vec<Feature>,
    /// When, by whom and why it was lifted.
    pub lifted: Option<(i64, String, String)>,
    pub calls_refused: u64,
    pub calls_ended: u64,
}

impl Block {
    pub(super) fn of(event: &Event, body: &BlockPlaced) -> Block {
        Block {
            block_id: Id::from_bytes(&body.block_id).unwrap_or_else(|| event.id()),
            placed_us: event.occurred_us,
            root_account: event.key.clone(),
            scope: body.scope.clone().unwrap_or_default(),
            actor: body.actor.clone(),
            reason: body.reason.clone(),
            expires_us: (body.expires_us > 0).then_some(body.expires_us),
            sip_code: body.sip_code,
            teardown: body.teardown,
            rule: body.rule.clone(),
            evidence: body.evidence.clone(),
            lifted: None,
            calls_refused: 0,
            calls_ended: 0,
        }
    }

    pub fn state(&self, now_us: i64) -> BlockState {
        match (&self.lifted, self.expires_us) {
            (Some(_), _) => BlockState::Lifted,
            (None, Some(at)) if at <= now_us => BlockState::Expired,
            _ => BlockState::Active,
        }
    }

    /// The root account that may see it: one it names by account or trunk. A block of a carrier, a number or an
    /// address holds for everybody and is the operator's, whatever call caused it.
    pub fn tenant(&self) -> &str {
        let names_them = !self.scope.account.is_empty() || !self.scope.trunk.is_empty();
        if names_them && self.scope.carrier.is_empty() { &self.root_account } else { "" }
    }
}

#[derive(Default)]
pub(super) struct BlockTable {
    by_id: HashMap<Id, Arc<Block>>,
    by_time: BTreeSet<(i64, Id)>,
    /// Counts that came before their block did (topics are fed apart), and those of forgotten blocks.
    early: BTreeMap<Id, (u64, u64)>,
}

impl BlockTable {
    pub(super) fn place(&mut self, mut block: Block) -> Option<Arc<Block>> {
        let id = block.block_id;
        if self.by_id.contains_key(&id) {
            return None;
        }
        if let Some((refused, ended)) = self.early.remove(&id) {
            (block.calls_refused, block.calls_ended) = (refused, ended);
        }
        self.by_time.insert((block.placed_us, id));
        let block = Arc::new(block);
        self.by_id.insert(id, block.clone());
        if self.by_id.len() > KEPT {
            self.forget(block.placed_us);
        }
        Some(block)
    }

    pub(super) fn lift(&mut self, event: &Event, body: &BlockLifted) -> Option<Arc<Block>> {
        let block = self.by_id.get_mut(&Id::of(&body.block_id)).filter(|b| b.lifted.is_none())?;
        Arc::make_mut(block).lifted = Some((event.occurred_us, body.actor.clone(), body.reason.clone()));
        Some(block.clone())
    }

    pub(super) fn call(&mut self, body: &Body) {
        match body {
            Body::CallRefused(b) if !b.block_id.is_empty() => self.stopped(&b.block_id, b.count.max(1), 0),
            Body::CallTeardown(b) if !b.block_id.is_empty() => self.stopped(&b.block_id, 0, 1),
            _ => {}
        }
    }

    pub(super) fn cdr(&mut self, cdr: &Cdr) {
        if let Some(id) = &cdr.block_id {
            let count = cdr.count.max(1);
            if cdr.disposition == "blocked" { self.stopped(id, count, 0) } else { self.stopped(id, 0, count) }
        }
    }

    fn stopped(&mut self, block: &[u8], refused: u64, ended: u64) {
        let id = Id::of(block);
        match self.by_id.get_mut(&id) {
            Some(block) => {
                let block = Arc::make_mut(block);
                block.calls_refused += refused;
                block.calls_ended += ended;
            }
            None => {
                let early = self.early.entry(id).or_default();
                *early = (early.0 + refused, early.1 + ended);
                while self.early.len() > KEPT {
                    self.early.pop_first();
                }
            }
        }
    }

    pub(super) fn get(&self, id: Id) -> Option<Arc<Block>> {
        self.by_id.get(&id).cloned()
    }

    pub(super) fn newest(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.by_time.iter().rev().filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Forgets the oldest past block; active ones are never forgotten.
    fn forget(&mut self, now_us: i64) {
        let past = |id: &Id| self.by_id.get(id).is_some_and(|b| b.state(now_us) != BlockState::Active);
        if let Some(oldest) = self.by_time.iter().find(|(_, id)| past(id)).copied() {
            self.by_time.remove(&oldest);
            self.by_id.remove(&oldest.1);
        }
    }
}
