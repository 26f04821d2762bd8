//! The reference attack (F-01's budget): a hacked PBX keeps ten calls up at $1 a minute, each for twenty minutes, for an
//! hour. The proxy is played at its budgeted worst: a block is enforced one second after it was placed, live calls are
//! down two seconds after.

use tollgate_schemas::{control::FraudPolicy, id::Id, money::format_amount};

use crate::trace::*;

const RAMP_S: f64 = 1.0;
const RING_S: f64 = 2.0;
const LENGTH_S: f64 = 1_200.0;
const UNTIL_S: f64 = 3_600.0;
const ENFORCED_S: f64 = 1.0;
const DOWN_S: f64 = 2.0;

struct Outcome {
    /// First fraudulent answer to the block, seconds.
    ttd_s: Option<f64>,
    loss_e8: i64,
    refused: u32,
}

fn attack(policy: FraudPolicy) -> Outcome {
    let mut world = World::new(policy);
    let price = terms(PREMIUM.rate, 60, 60);
    // (up since, call) of the ten channels.
    let mut channels: Vec<Option<(f64, Id)>> = vec![None; 10];
    let (mut loss_e8, mut refused, mut blocked_s) = (0, 0, None);
    let mut s = 0.0;
    while s < UNTIL_S {
        for (i, channel) in channels.iter_mut().enumerate() {
            match *channel {
                Some((since, call)) => {
                    let down = blocked_s.is_some_and(|b| s >= b + DOWN_S);
                    if s == since + RING_S && !down {
                        world.answer(s, call);
                    }
                    if down || s >= since + RING_S + LENGTH_S {
                        let up_s = (s - since - RING_S).max(0.0);
                        world.end(s, call, up_s);
                        loss_e8 += if up_s > 0.0 { price.charge(0, (up_s * 1e3) as u64).amount_e8 } else { 0 };
                        *channel = None;
                    }
                }
                None if s < i as f64 * RAMP_S => {}
                None if blocked_s.is_some_and(|b| s >= b + ENFORCED_S) => {
                    world.refused(s, PREMIUM);
                    refused += 1;
                }
                None => *channel = Some((s, world.call(s, PREMIUM))),
            }
            let now_s = s;
            if blocked_s.is_none() && !world.blocks().is_empty() {
                blocked_s = Some(now_s);
            }
        }
        s += 1.0;
        world.until(s);
        if blocked_s.is_none() && !world.blocks().is_empty() {
            blocked_s = Some(s);
        }
    }
    for (since, _) in channels.into_iter().flatten() {
        loss_e8 += price.charge(0, ((s - since - RING_S).max(0.0) * 1e3) as u64).amount_e8;
    }
    assert!(world.blocks().len() <= 1, "one block ends it");
    Outcome { ttd_s: blocked_s.map(|b| b - RING_S), loss_e8, refused }
}

#[test]
fn f_01_the_reference_attack_is_blocked_within_its_budget() {
    let off = attack(policy(Vec::new()));
    let default = attack(FraudPolicy::default());
    let money = attack(policy(vec![rule("spend", "high_risk", 900, "5", "25")]));
    println!("reference attack: 10 calls at once at $1/min for an hour");
    for (name, outcome) in [("no detector", &off), ("default policy", &default), ("spend rule alone", &money)] {
        let ttd = outcome.ttd_s.map_or("never".to_owned(), |s| format!("{s:.0} s"));
        println!("  {name:<16}  first answer to block {ttd:>6}  lost {:>12}  refused {}", format_amount(outcome.loss_e8), outcome.refused);
    }
    assert_eq!(off.ttd_s, None);
    assert!(off.loss_e8 > 59_000_000_000, "it costs $10 a minute when nobody looks");
    assert!(default.ttd_s.is_some_and(|s| s <= 60.0), "TTD");
    assert!(default.loss_e8 <= 2_500_000_000, "MLB {}", format_amount(default.loss_e8));
    assert!(default.refused > 0);
    // Money alone is slower: it must be lost before it is counted. A net under the other rules, not the detector.
    assert!(money.ttd_s.is_some_and(|s| s <= 180.0) && money.loss_e8 <= 4_000_000_000);
}
