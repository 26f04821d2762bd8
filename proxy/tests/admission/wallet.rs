//! Several proxies and the writer of an account's money over a bad network: a thousand parallel calls never cost more than
//! was paid in, whatever is late, lost, repeated or killed. The seed stands in every failure.

use std::collections::{BTreeMap, VecDeque};

use tollgate_proxy::admission::{Admission, Attempt, CreditRules, NodeState, Policy, Prices, Sale, Sell, Slice, Slot};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::Mint,
    parties::Parties,
    time::Now,
    v1::{CreditHold, LeaseGranted, LedgerEntry, Terms, Tier},
};

use crate::{
    fixture::{LONDON, at, attempt, documents, terms, wide},
    rating::credit::Credit,
};

const STEP_MS: i64 = 50;
/// Who has no lease yet waits for none: the bound without the time a start takes.
const RULES: CreditRules = CreditRules { partitions: 1, expires: true, first_ms: 0 };

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a caller pays, and the reseller above it.
struct Sheet {
    own: Terms,
    above: Terms,
}

impl Prices for Sheet {
    fn sell<'p>(&'p self, _account: &str, _parties: &Parties<'p>, _at_us: i64) -> Sale<'p> {
        Sale { tiers: vec![Tier { account: "acme-root".to_owned(), terms: Some(self.above.clone()) }], ..Sale::from(Sell::Terms(self.own.clone())) }
    }
}

struct Up {
    slot: Slot,
    holds: Vec<CreditHold>,
    answered: Now,
    look_ms: u64,
    /// It hangs up by itself.
    until_ms: i64,
}

/// On its way into the log, in the order the node wrote it.
enum Said {
    Asked(Event),
    Ended { settled: Vec<CreditHold>, id: tollgate_schemas::id::Id },
}

struct Proxy {
    admission: Admission,
    node: u64,
    epoch: u32,
    mint: Mint,
    up: Vec<Up>,
    rate: u64,
    cut_until_ms: i64,
    /// Of its own log, with when each is in the shared one.
    wire: VecDeque<(i64, Said)>,
    inbox: BTreeMap<(i64, u64), LeaseGranted>,
    refused: u64,
    by_credit: u64,
}

struct World {
    rng: Rng,
    ms: i64,
    policy: Policy,
    sheet: Sheet,
    proxies: Vec<Proxy>,
    credit: Credit,
    /// Charges that the rater posts a little later than it hears of the end.
    waiting: VecDeque<(i64, Vec<CreditHold>)>,
    /// Paid in, and spent for good, by account.
    funds: BTreeMap<&'static str, i64>,
    spent: BTreeMap<String, i64>,
    sent: u64,
    calm: bool,
    talk_ms: u64,
    most_up: usize,
    rules: CreditRules,
    /// What restarts may cost beyond what was paid.
    allowed: i64,
}

const ACCOUNTS: [&str; 2] = ["acme", "acme-root"];

impl World {
    fn new(seed: u64, nodes: u64, funds: [i64; 2]) -> World {
        World::with(RULES, seed, nodes, funds)
    }

    fn with(rules: CreditRules, seed: u64, nodes: u64, funds: [i64; 2]) -> World {
        let mut documents = documents(r#""billing": "prepaid", "slice_s": 6"#, &wide("", ""));
        let root = documents.accounts.get_mut("acme-root").expect("root");
        (root.billing, root.slice_s) = (tollgate_schemas::control::Billing::Prepaid, 10);
        let proxies = (1..=nodes).map(|node| {
            let mint = Mint::new(node, 1);
            let mut admission = Admission::new();
            admission.credit_mode(&mint.node_name(), rules);
            Proxy { admission, node, epoch: 1, mint, up: Vec::new(), rate: 0, cut_until_ms: 0, wire: VecDeque::new(), inbox: BTreeMap::new(), refused: 0, by_credit: 0 }
        });
        let mut world = World {
            rng: Rng(seed),
            ms: 0,
            policy: Policy::compile(&documents, 1).expect("right"),
            // 0.60 and 0.42 a minute, with a fee; increments of a second and of six.
            sheet: Sheet {
                own: Terms { connect_fee_e12: 1_000_000_000, ..terms("UK", "44", "0.60") },
                above: Terms { initial_s: 6, increment_s: 6, ..terms("UK", "44", "0.42") },
            },
            proxies: proxies.collect(),
            credit: Credit::default(),
            waiting: VecDeque::new(),
            funds: BTreeMap::new(),
            spent: BTreeMap::new(),
            sent: 0,
            calm: false,
            talk_ms: 30_000,
            most_up: 0,
            rules,
            allowed: 0,
        };
        for (account, e8) in ACCOUNTS.into_iter().zip(funds) {
            world.pay(account, e8);
        }
        world
    }

    fn pay(&mut self, account: &'static str, e8: i64) {
        self.credit.posted(&[entry(account, -e8)]);
        *self.funds.entry(account).or_default() += e8;
    }

    /// Each proxy's own boot and a clock that is a little off.
    fn now(&self, node: usize) -> Now {
        let now = at(self.ms);
        Now { utc_us: now.utc_us, mono_ns: now.mono_ns + node as u64 * 1_000_000_000_000 }
    }

    fn step(&mut self) {
        self.ms += STEP_MS;
        for node in 0..self.proxies.len() {
            self.read(node);
            self.watch(node);
            self.offer(node);
            self.ask(node);
        }
        self.lend();
        self.check();
    }

    fn run(&mut self, seconds: i64) {
        for _ in 0..seconds * 1_000 / STEP_MS {
            self.step();
        }
    }

    fn read(&mut self, node: usize) {
        let now = self.now(node);
        let proxy = &mut self.proxies[node];
        let later = proxy.inbox.split_off(&(self.ms + 1, 0));
        for granted in std::mem::replace(&mut proxy.inbox, later).into_values() {
            proxy.admission.apply_credit(0, &granted, now);
        }
    }

    /// What the shard's timers do, a step late at most.
    fn watch(&mut self, node: usize) {
        let now = self.now(node);
        let mut up = std::mem::take(&mut self.proxies[node].up);
        let mut at = 0;
        while at < up.len() {
            let call = &mut up[at];
            let elapsed_ms = (now.mono_ns - call.answered.mono_ns) / 1_000_000;
            let mut over = call.until_ms <= self.ms;
            if !over && elapsed_ms >= call.look_ms {
                match self.proxies[node].admission.next_slice(&call.slot, call.answered.utc_us, elapsed_ms, now) {
                    Slice::Until { ms, changed } => {
                        call.look_ms = ms;
                        if changed {
                            call.holds = self.proxies[node].admission.credit_holds(&call.slot);
                        }
                    }
                    Slice::Ended => (over, self.proxies[node].by_credit) = (true, self.proxies[node].by_credit + 1),
                }
            }
            if over {
                let call = up.swap_remove(at);
                self.end(node, call, elapsed_ms, now);
            } else {
                at += 1;
            }
        }
        self.proxies[node].up = up;
    }

    fn end(&mut self, node: usize, call: Up, elapsed_ms: u64, now: Now) {
        let proxy = &mut self.proxies[node];
        let settled = proxy.admission.credit_charges(&call.slot, call.answered.utc_us, Some(elapsed_ms));
        proxy.admission.release(call.slot, now, Some(elapsed_ms));
        for hold in &settled {
            *self.spent.entry(hold.account.clone()).or_default() += hold.amount_e8;
        }
        let id = proxy.mint.mint();
        self.say(node, Said::Ended { settled, id });
    }

    fn offer(&mut self, node: usize) {
        let now = self.now(node);
        let steps = 1_000 / STEP_MS as u64;
        let rate = self.proxies[node].rate;
        let calls = rate / steps + u64::from(self.rng.below(steps) < rate % steps);
        for _ in 0..calls {
            let until_ms = self.ms + 500 + self.rng.below(self.talk_ms) as i64;
            let proxy = &mut self.proxies[node];
            let asked = Attempt { node: NodeState::Open, ..attempt(&self.policy, LONDON, now) };
            let Ok(mut admitted) = proxy.admission.admit(&self.policy, &self.sheet, &asked) else {
                proxy.refused += 1;
                continue;
            };
            if self.rng.one_in(5) {
                // Rung and never taken, or without a route.
                if self.rng.one_in(2) { proxy.admission.cancel(admitted.slot); } else { let _ = proxy.admission.release(admitted.slot, now, None); }
                continue;
            }
            proxy.admission.answered(&mut admitted.slot, now, admitted.sell.as_ref());
            proxy.admission.credit_answered(&admitted.slot, admitted.sell.as_ref(), &admitted.tiers);
            proxy.up.push(Up { slot: admitted.slot, holds: admitted.holds, answered: now, look_ms: 0, until_ms });
        }
    }

    fn ask(&mut self, node: usize) {
        let now = self.now(node);
        for (_, asked) in self.proxies[node].admission.credit_demands(&self.policy, now) {
            let origin = Origin { mint: &self.proxies[node].mint, boot_id: 1, now, control_position: 1 };
            let event = Event::born(origin, "", Body::LeaseAsked(asked));
            self.say(node, Said::Asked(event));
        }
    }

    /// A node's log comes in order and whole, some of it late.
    fn say(&mut self, node: usize, said: Said) {
        let slow = !self.calm && self.rng.one_in(20);
        let delay = 20 + self.rng.below(if slow { 5_000 } else { 100 }) as i64;
        let proxy = &mut self.proxies[node];
        let after = proxy.wire.back().map_or(0, |(at, _)| *at);
        proxy.wire.push_back((after.max(self.ms.max(proxy.cut_until_ms) + delay), said));
    }

    fn lend(&mut self) {
        for node in 0..self.proxies.len() {
            while self.proxies[node].wire.front().is_some_and(|(at, _)| *at <= self.ms) {
                let Some((_, said)) = self.proxies[node].wire.pop_front() else { break };
                match said {
                    Said::Ended { settled, id } => {
                        self.credit.settled(id, "acme-root", &settled);
                        self.credit.waits("acme-root", &settled, 1);
                        let late = if self.rng.one_in(10) { 3_000 } else { 0 };
                        self.waiting.push_back((self.ms + late, settled));
                    }
                    Said::Asked(event) => self.answer(&event),
                }
            }
        }
        let due: Vec<_> = { let ms = self.ms; let (due, rest) = std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= ms); self.waiting = rest; let due: VecDeque<(i64, Vec<CreditHold>)> = due; due.into() };
        for (_, settled) in due {
            self.credit.waits("acme-root", &settled, -1);
            for hold in settled {
                self.credit.posted(&[entry(&hold.account, hold.amount_e8)]);
            }
        }
        self.credit.crossings();
    }

    /// Grants are late, lost or come twice.
    fn answer(&mut self, event: &Event) {
        let Some(Body::LeaseAsked(asked)) = &event.body else { return };
        for granted in self.credit.asked(event, asked) {
            let node = self.proxies.iter().position(|p| p.mint.node_name() == granted.node).expect("a node");
            let copies = match (self.calm, self.rng.below(20)) {
                (false, 0) => 0,
                (false, 1) => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let slow = !self.calm && self.rng.one_in(20);
                let when = self.ms.max(self.proxies[node].cut_until_ms) + 20 + self.rng.below(if slow { 8_000 } else { 100 }) as i64;
                self.sent += 1;
                let sent = self.sent;
                self.proxies[node].inbox.insert((when, sent), granted.clone());
            }
        }
    }

    /// The process dies and the next one takes its calls up again.
    fn restart_proxy(&mut self, node: usize) {
        let now = self.now(node);
        let World { proxies, policy, sheet, rules, .. } = self;
        let proxy = &mut proxies[node];
        proxy.epoch += 1;
        proxy.mint = Mint::new(proxy.node, proxy.epoch);
        proxy.admission = Admission::new();
        proxy.admission.credit_mode(&proxy.mint.node_name(), *rules);
        let tiers = [Tier { account: "acme-root".to_owned(), terms: Some(sheet.above.clone()) }];
        let facts = tollgate_schemas::v1::CallFacts { account: "acme".to_owned(), root_account: "acme-root".to_owned(), trunk: "t1".to_owned(), ..Default::default() };
        for up in &mut proxy.up {
            let elapsed_ms = (now.mono_ns - up.answered.mono_ns) / 1_000_000;
            let resumed = tollgate_proxy::admission::Resumed { facts: &facts, hold_e8: 0, answered: Some((elapsed_ms, &sheet.own)) };
            up.slot = proxy.admission.resume(policy, resumed, now);
            proxy.admission.credit_resumed(&up.slot, policy, &up.holds, Some(&sheet.own), &tiers, now);
            up.look_ms = 0;
        }
    }

    /// The writer's successor knows what its snapshot and the log say.
    fn restart_lender(&mut self) {
        self.credit = Credit::restore(self.credit.save());
    }

    /// The bound: what ended calls cost and what those that are up have come to is never more than was paid in.
    fn check(&mut self) {
        self.most_up = self.most_up.max(self.proxies.iter().map(|p| p.up.len()).sum());
        let mut owed = self.spent.clone();
        for (node, proxy) in self.proxies.iter().enumerate() {
            let now = self.now(node);
            for call in &proxy.up {
                let elapsed_ms = (now.mono_ns - call.answered.mono_ns) / 1_000_000;
                for charge in proxy.admission.credit_charges(&call.slot, call.answered.utc_us, Some(elapsed_ms)) {
                    *owed.entry(charge.account).or_default() += charge.amount_e8;
                }
            }
        }
        for (account, funds) in &self.funds {
            let owed = owed.get(*account).copied().unwrap_or(0);
            assert!(owed <= *funds + self.allowed, "{account} owes {owed} of {funds} and {} at {} ms", self.allowed, self.ms);
        }
    }

    fn balance(&self, account: &str) -> i64 {
        -self.credit.standing("acme-root", account, "USD").map_or(0, |s| s.owed_e8)
    }
}

fn entry(account: &str, amount_e8: i64) -> LedgerEntry {
    LedgerEntry { account: format!("account:acme-root/{account}"), amount_e8, currency: "USD".to_owned() }
}

/// Says which seed it was when something fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

const UNIT: i64 = 100_000_000;

#[test]
fn fn_07_prepaid_calls_never_cost_more_than_was_paid_whatever_the_network_does() {
    let (mut ended, mut most) = (0, 0);
    for seed in 0..48 {
        let _seed = Seed(seed);
        let nodes = 2 + seed % 3;
        // Sometimes the caller's money is short, sometimes the reseller's.
        let mut world = World::new(seed, nodes, [[40 * UNIT, 1_000 * UNIT], [1_000 * UNIT, 30 * UNIT], [20 * UNIT, 15 * UNIT]][seed as usize % 3]);
        for _ in 0..240 * 1_000 / STEP_MS {
            world.step();
            let node = world.rng.below(nodes) as usize;
            if world.rng.one_in(200) {
                world.proxies[node].rate = [0, 1, 5, 20, 60][world.rng.below(5) as usize];
            }
            if world.rng.one_in(800) && world.proxies[node].cut_until_ms + 10_000 < world.ms {
                world.proxies[node].cut_until_ms = world.ms + 40_000;
            }
            if world.rng.one_in(600) {
                world.restart_proxy(node);
            }
            if world.rng.one_in(400) {
                world.restart_lender();
            }
            if world.rng.one_in(1_000) {
                let account = ACCOUNTS[world.rng.below(2) as usize];
                let more = UNIT + world.rng.below(9) as i64 * UNIT;
                world.pay(account, more);
            }
        }
        // The soak's end: everybody hangs up, and nothing is left held, lent twice or lost.
        for proxy in &mut world.proxies {
            (proxy.rate, proxy.cut_until_ms) = (0, 0);
            proxy.up.iter_mut().for_each(|up| up.until_ms = 0);
        }
        world.calm = true;
        world.run(60);
        for account in ACCOUNTS {
            let spent = world.spent.get(account).copied().unwrap_or(0);
            assert_eq!(world.balance(account), world.funds[account] - spent, "{account}: the ledger is what the proxies took");
            let standing = world.credit.standing("acme-root", account, "USD").expect("known");
            assert_eq!(standing.waiting_e8, 0);
            assert!(standing.lent_e8 + standing.owed_e8 <= 0, "no more is lent than is left: {standing:?}");
        }
        for (node, proxy) in world.proxies.iter().enumerate() {
            for gauge in proxy.admission.credit_gauges(world.now(node)) {
                assert_eq!(gauge.held_e8, 0, "{gauge:?} of node {node}");
            }
        }
        ended += world.proxies.iter().map(|p| p.by_credit).sum::<u64>();
        most = most.max(world.most_up);
    }
    assert!(ended > 100, "{ended} calls were ended for want of money: nothing was tested");
    assert!(most > 200, "{most} calls at once");
}

#[test]
fn fn_07_a_thousand_parallel_calls_spend_what_is_there_and_no_more() {
    let _seed = Seed(7);
    // 1,000 calls of 0.61 a minute want 610 a minute of the 300 there are.
    let mut world = World::new(7, 2, [300 * UNIT, 100_000 * UNIT]);
    world.talk_ms = 3_600_000;
    world.run(5);
    world.proxies.iter_mut().for_each(|p| p.rate = 250);
    world.run(2);
    world.proxies.iter_mut().for_each(|p| p.rate = 0);
    let up: usize = world.proxies.iter().map(|p| p.up.len()).sum();
    assert!(up > 600, "{up} calls are up");
    world.run(120);
    let up: usize = world.proxies.iter().map(|p| p.up.len()).sum();
    assert_eq!(up, 0, "all are ended");
    let left = world.balance("acme");
    assert!((0..3 * UNIT).contains(&left), "{left} of 300 is left: within a hundredth");
}

/// A kill, some time without the process, and the next one: whatever becomes of its first lease.
#[test]
fn fn_07_a_kill_costs_at_most_the_time_away_and_until_the_first_lease_for_each_call_that_is_up() {
    const AWAY_MS: i64 = 12_000;
    for seed in 0..12 {
        let _seed = Seed(seed);
        let rich = seed % 2 == 0;
        let rules = CreditRules { first_ms: 5_000, ..RULES };
        let mut world = World::with(rules, seed, 1, [if rich { 5_000 } else { 12 } * UNIT, 5_000 * UNIT]);
        (world.talk_ms, world.calm) = (600_000, true);
        world.run(5);
        world.proxies[0].rate = 30;
        world.run(6);
        world.proxies[0].rate = 0;
        let (up, cut) = (world.proxies[0].up.len(), world.proxies[0].by_credit);
        assert!(up > 60, "{up} calls are up");
        world.ms += AWAY_MS;
        // A second for the timer, six for the reseller's increment.
        let most_s = (AWAY_MS as u64 + rules.first_ms) / 1_000 + 1 + 6;
        world.allowed = up as i64 * world.sheet.own.charge(0, most_s * 1_000).amount_e8;
        world.restart_proxy(0);
        if seed % 3 == 2 {
            world.proxies[0].cut_until_ms = world.ms + 20_000;
        }
        world.run(30);
        let ended = world.proxies[0].by_credit - cut;
        match (rich, seed % 3 == 2) {
            (true, false) => assert_eq!(ended, 0, "all have the money and go on"),
            (true, true) => assert!(ended > 0, "no lease came in time"),
            (false, _) => assert_eq!(world.proxies[0].up.len(), 0, "the money is used up"),
        }
    }
}
