//! What admission costs a call: admit, answer and release, with prices from memory. Budget: 1.5 us for admit + release.

use std::{hint::black_box, net::SocketAddr};

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_proxy::admission::{Admission, Attempt, Documents, NodeState, Policy, Prices, Sale, Sell};
use tollgate_schemas::{
    parties::Parties,
    time::Now,
    v1::{BlockPlaced, BlockScope, LeaseGranted, LeaseShare, Terms},
};

struct OneRow(Terms);

impl Prices for OneRow {
    fn sell<'p>(&'p self, _account: &str, _parties: &Parties<'p>, _at_us: i64) -> Sale<'p> {
        Sell::Terms(self.0.clone()).into()
    }
}

fn documents(account: &str, trunk: &str) -> Documents {
    let mut d = Documents::default();
    d.accounts.insert("acme".to_owned(), serde_json::from_str(account).expect("an account"));
    let spec = format!(r#"{{"account": "acme", "sources": ["127.0.0.1"], "channels": 1000000, "cps": 1000000, "burst": 1000000, {trunk}}}"#);
    d.trunks.insert("t1".to_owned(), serde_json::from_str(&spec).expect("a trunk"));
    d
}

fn admission(c: &mut Criterion) {
    let policy = Policy::compile(
        &documents(r#"{"sell_deck": "retail"}"#, r#""numbers": {"country_code": "1"}, "dial": {"international": true, "daily_spend": "100000000"}"#),
        1,
    )
    .expect("right");
    let prices = OneRow(Terms {
        deck: "retail".to_owned(),
        deck_version: "0011223344556677".to_owned(),
        prefix: "1212".to_owned(),
        destination: "USA".to_owned(),
        rate_e12: 10_000_000_000,
        initial_s: 6,
        increment_s: 6,
        currency: "USD".to_owned(),
        places: 6,
        ..Terms::default()
    });
    let trunk = policy.trunk_named("t1").expect("t1");
    let mut now = Now { utc_us: 1_795_262_400_000_000, mono_ns: 1_000_000_000_000 };
    let source = SocketAddr::from(([127, 0, 0, 1], 5060));
    let attempt = |now, dialled| Attempt { trunk, source, dialled, urn_sos: false, a_user: Some("+12125550100"), shown: Default::default(), now, node: NodeState::Open };
    let mut tick = || {
        now.mono_ns += 500_000;
        now.utc_us += 500;
        now
    };

    let mut group = c.benchmark_group("admission");
    group.bench_function("party", |b| b.iter(|| black_box(&policy).party(black_box(source))));
    let mut quiet = Admission::new();
    group.bench_function("admit + release", |b| {
        b.iter(|| {
            let now = tick();
            let admitted = quiet.admit(&policy, &prices, &attempt(now, black_box("12125550123"))).expect("admitted");
            quiet.release(admitted.slot, now, None)
        });
    });
    let mut busy = Admission::new();
    for i in 0..10_000u32 {
        let scope = BlockScope { a_number: format!("44{i}"), ..BlockScope::default() };
        let block = BlockPlaced { block_id: u128::from(i + 1).to_be_bytes().to_vec(), scope: Some(scope), ..BlockPlaced::default() };
        busy.apply_block(&block, now).expect("placed");
    }
    let mut up = Vec::new();
    for _ in 0..10_000 {
        let mut admitted = busy.admit(&policy, &prices, &attempt(now, "12125550123")).expect("admitted");
        busy.answered(&mut admitted.slot, now, admitted.sell.as_ref());
        up.push(admitted.slot);
    }
    let mut tick = || {
        now.mono_ns += 500_000;
        now.utc_us += 500;
        now
    };
    group.bench_function("admit + answer + release, 10,000 calls up and 10,000 blocks", |b| {
        b.iter(|| {
            let now = tick();
            let mut admitted = busy.admit(&policy, &prices, &attempt(now, black_box("12125550123"))).expect("admitted");
            busy.answered(&mut admitted.slot, now, admitted.sell.as_ref());
            busy.release(admitted.slot, now, Some(30_000))
        });
    });
    // With a lease that never ends: what a hold, the answer's look at it and its settlement add.
    let on_credit = Policy::compile(
        &documents(r#"{"sell_deck": "retail", "billing": "prepaid"}"#, r#""numbers": {"country_code": "1"}, "dial": {"international": true, "daily_spend": "100000000"}"#),
        1,
    )
    .expect("right");
    let mut bank = Admission::new();
    let lent = tick();
    for (partition, asked) in bank.credit_demands(&on_credit, lent) {
        let shares = asked.demands.iter().map(|d| LeaseShare { scope: d.scope.clone(), name: d.name.clone(), ceiling_e8: i64::MAX / 2, ..LeaseShare::default() });
        let granted = LeaseGranted { node: asked.node, shares: shares.collect(), hold_ms: 1 << 40, revision: 1, credit: true, asked_ns: asked.asked_ns, ..LeaseGranted::default() };
        bank.apply_credit(partition, &granted, lent);
    }
    group.bench_function("admit + release, on credit", |b| {
        b.iter(|| {
            let now = tick();
            let admitted = bank.admit(&on_credit, &prices, &attempt(now, black_box("12125550123"))).expect("admitted");
            bank.release(admitted.slot, now, None)
        });
    });
    group.bench_function("admit + answer + slice + settle, on credit", |b| {
        b.iter(|| {
            let now = tick();
            let mut admitted = bank.admit(&on_credit, &prices, &attempt(now, black_box("12125550123"))).expect("admitted");
            bank.answered(&mut admitted.slot, now, admitted.sell.as_ref());
            bank.credit_answered(&admitted.slot, admitted.sell.as_ref(), &[]);
            black_box(bank.next_slice(&admitted.slot, now.utc_us, 0, now));
            black_box(bank.credit_charges(&admitted.slot, now.utc_us, Some(30_000)));
            bank.release(admitted.slot, now, Some(30_000))
        });
    });
    group.bench_function("a refusal", |b| {
        b.iter(|| {
            let now = tick();
            quiet.admit(&policy, &prices, &attempt(now, black_box("252612345678"))).expect_err("high risk is off")
        });
    });
    group.finish();
    for slot in up {
        busy.release(slot, now, None);
    }
}

criterion_group!(benches, admission);
criterion_main!(benches);
