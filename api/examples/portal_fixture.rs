//! The portal with made-up traffic behind it, to look at: `cargo run --release -p tollgate-api --example portal_fixture`
//! serves it on 127.0.0.1:8099 with the key it prints. `--quiet` serves it empty, as on the first day.

#[path = "../tests/http/fakes.rs"]
mod fakes;

use std::{error::Error, sync::Arc, time::Duration};

use fakes::{ADMIN_KEY, Fakes, now_us};
use tollgate_api::{Limits, ports::LiveCall};
use tollgate_schemas::{
    cdr::Cdr,
    event::Body,
    id::Id,
    log::Topic,
    v1::{AlertRaised, BlockPlaced, BlockScope, CallAnswered, CallAttempted, CallRefused, CallTeardown},
};

const SECOND: i64 = 1_000_000;
/// Account, its trunk, destination, called number's start, carrier, sell and cost in 1e-12 a minute.
type Flow = (&'static str, &'static str, &'static str, &'static str, &'static str, i64, i64);
const FLOWS: [Flow; 5] = [
    ("acme", "acme-hq", "Germany Mobile", "49171", "northtel", 42_000_000_000, 31_000_000_000),
    ("acme", "acme-hq", "United States", "1212", "pacific", 8_000_000_000, 5_200_000_000),
    ("globex", "globex-1", "France", "331", "northtel", 11_000_000_000, 7_400_000_000),
    ("globex", "globex-1", "India Mobile", "9198", "pacific", 19_000_000_000, 18_400_000_000),
    ("initech", "pbx-7", "United Kingdom", "4420", "baltic", 9_500_000_000, 6_100_000_000),
];

/// Numbers that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let fakes = Fakes::new();
    if std::env::args().all(|a| a != "--quiet") {
        let feeding = fakes.clone();
        let mut dice = Dice(7);
        let now = now_us();
        for second in (1..3_000).rev() {
            one_second(&feeding, &mut dice, now - second * SECOND);
        }
        fraud(&feeding, now);
        std::thread::spawn(move || {
            loop {
                one_second(&feeding, &mut dice, now_us());
                std::thread::sleep(Duration::from_secs(1));
            }
        });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:8099").await?;
        println!("http://{} with key {ADMIN_KEY}", listener.local_addr()?);
        tollgate_api::serve(listener, fakes.state(Vec::new(), Limits::default()), std::future::pending()).await?;
        Ok(())
    })
}

fn one_second(fakes: &Arc<Fakes>, dice: &mut Dice, at: i64) {
    let wave = 30 + ((at / SECOND) % 600 - 300).unsigned_abs() / 20;
    for _ in 0..wave + dice.roll(8) {
        fakes.tell(Topic::Calls, "acme", at, Body::CallAttempted(CallAttempted::default()));
        if dice.roll(100) < 62 {
            fakes.tell(Topic::Calls, "acme", at, Body::CallAnswered(CallAnswered::default()));
        }
    }
    let refused = CallRefused { reason: "cps_limit".to_owned(), count: dice.roll(3).max(1), ..CallRefused::default() };
    fakes.tell(Topic::Calls, "initech", at, Body::CallRefused(refused));
    for _ in 0..2 {
        let flow = FLOWS[dice.roll(5) as usize];
        fakes.store(cdr(fakes.id(), flow, dice, at));
    }
    let mut live = fakes.live.lock().expect("live");
    if live.len() > 40 {
        live.remove(0);
    }
    let (account, trunk, group, prefix, carrier, sell, _) = FLOWS[dice.roll(5) as usize];
    let answered = dice.roll(10) < 7;
    live.push(LiveCall {
        call_uuid: fakes.id(), account: account.to_owned(), root_account: account.to_owned(), trunk: trunk.to_owned(), carrier: carrier.to_owned(),
        a_number: format!("4930{}", 100_000 + dice.roll(900_000)), b_number: format!("{prefix}{}", 1_000_000 + dice.roll(9_000_000)),
        dest_group: group.to_owned(), state: if answered { "answered" } else { "ringing" }, attempt_no: 1 + (dice.roll(8) / 7) as u32,
        invite_us: at, answer_us: answered.then_some(at + 3 * SECOND), sell_rate: tollgate_schemas::money::format_rate(sell),
        currency: "EUR".to_owned(), spent_e8: (dice.roll(4_000_000)) as i64, emergency: false,
    });
}

fn cdr(call: Id, (account, trunk, group, prefix, carrier, sell, cost): Flow, dice: &mut Dice, end_us: i64) -> Cdr {
    let seconds = 5 + dice.roll(240);
    let disposition = ["answered", "answered", "answered", "busy", "noanswer", "failed"][dice.roll(6) as usize];
    let billed = if disposition == "answered" { seconds } else { 0 };
    let amount = |rate: i64| rate / 10_000 * billed as i64 / 60;
    let invite = end_us - (seconds as i64 + 8) * SECOND;
    Cdr {
        call_uuid: call.to_vec(), cdr_version: 1, record_type: "final".to_owned(), account: account.to_owned(), root_account: account.to_owned(),
        trunk: trunk.to_owned(), a_number_e164: format!("4930{}", 100_000 + dice.roll(900_000)),
        b_number_e164: format!("{prefix}{}", 1_000_000 + dice.roll(9_000_000)), b_dest_group: group.to_owned(), invite_ts: invite,
        answer_ts: (billed > 0).then_some(invite + 8 * SECOND), end_ts: end_us, pdd_ms: Some(900 + dice.roll(2_500)), duration_ms: billed * 1_000,
        billed_sec_sell: billed, billed_sec_cost: billed, disposition: disposition.to_owned(),
        sip_final_code: match disposition { "answered" => 200, "busy" => 486, "noanswer" => 408, _ => 503 },
        carrier: carrier.to_owned(), sell_amount: amount(sell), sell_currency: "EUR".to_owned(), sell_rate: Some(sell), cost_amount: amount(cost),
        cost_currency: "EUR".to_owned(), margin_base: Some(amount(sell) - amount(cost)), count: 1, ..Cdr::default()
    }
}

/// A hacked PBX, found and blocked six minutes ago, and a warning since.
fn fraud(fakes: &Fakes, now: i64) {
    let block = fakes.id();
    let at = now - 340 * SECOND;
    let critical = AlertRaised {
        rule: "spend".to_owned(), severity: "critical".to_owned(), account: "initech".to_owned(), dest_group: "Cuba Premium".to_owned(),
        explanation: "Spend of 31.20 EUR in 15 min reached the critical limit of 25 EUR; 9 calls at once, 41 in the last minute".to_owned(),
        block_id: block.to_vec(), loss_e8: 3_120_000_000, currency: "EUR".to_owned(), first_us: at - 90 * SECOND, ..AlertRaised::default()
    };
    let early = AlertRaised {
        rule: "calls_per_minute".to_owned(), severity: "warning".to_owned(), explanation: "7 calls in a minute reached the warning limit of 5".to_owned(),
        block_id: Vec::new(), loss_e8: 410_000_000, ..critical.clone()
    };
    let other = AlertRaised {
        account: "globex".to_owned(), dest_group: "Satellite".to_owned(), rule: "call_duration".to_owned(), loss_e8: 95_000_000,
        explanation: "A call has lasted 30 min".to_owned(), first_us: now - 1_800 * SECOND, ..early.clone()
    };
    fakes.tell(Topic::Alerts, "initech", at - 60 * SECOND, Body::AlertRaised(early));
    fakes.tell(Topic::Alerts, "initech", at, Body::AlertRaised(critical));
    let scope = BlockScope { account: "initech".to_owned(), dest_group: "Cuba Premium".to_owned(), ..BlockScope::default() };
    let placed = BlockPlaced {
        block_id: block.to_vec(), scope: Some(scope), actor: "fraud".to_owned(), reason: "spend reached the critical limit".to_owned(),
        expires_us: now + 3_200 * SECOND, sip_code: 403, teardown: true, rule: "spend".to_owned(), ..BlockPlaced::default()
    };
    fakes.tell(Topic::Blocks, "initech", at, Body::BlockPlaced(placed));
    for _ in 0..9 {
        fakes.tell(Topic::Calls, "initech", at, Body::CallTeardown(CallTeardown { block_id: block.to_vec(), ..CallTeardown::default() }));
    }
    let refused = CallRefused { reason: "blocked".to_owned(), block_id: block.to_vec(), count: 214, ..CallRefused::default() };
    fakes.tell(Topic::Calls, "initech", at + 5 * SECOND, Body::CallRefused(refused));
    fakes.tell(Topic::Alerts, "globex", now - 100 * SECOND, Body::AlertRaised(other));
}
