use super::*;

const NOW: i64 = 1_000_000;

fn placed(id: u128, scope: BlockScope) -> BlockPlaced {
    BlockPlaced { block_id: Id(id).to_vec(), scope: Some(scope), expires_us: NOW + 10, ..BlockPlaced::default() }
}

fn scope(fields: &[(&str, &str)]) -> BlockScope {
    let mut s = BlockScope::default();
    for (name, value) in fields {
        let value = (*value).to_owned();
        match *name {
            "account" => s.account = value,
            "trunk" => s.trunk = value,
            "dest_group" => s.dest_group = value,
            "a_number" => s.a_number = value,
            "b_number" => s.b_number = value,
            "b_prefix" => s.b_prefix = value,
            "ip" => s.ip = value,
            "carrier" => s.carrier = value,
            "high_risk" => s.high_risk = true,
            "international" => s.international = true,
            other => panic!("no field {other}"),
        }
    }
    s
}

fn call() -> CallView<'static> {
    CallView {
        emergency: false,
        account: "leaf",
        root_account: "root",
        trunk: "t1",
        dest_group: "Somalia",
        a_number: "442071838750",
        b_number: "252612345678",
        source: Some(IpAddr::from([192, 0, 2, 7])),
        high_risk: true,
        international: true,
    }
}

#[test]
fn f_30_every_scope_matches_what_it_names_and_nothing_else() {
    let ancestors = ["middle".to_owned(), "root".to_owned()];
    for (fields, stops) in [
        (&[("account", "leaf")][..], true),
        (&[("account", "middle")], true),
        (&[("account", "root")], true),
        (&[("account", "other")], false),
        (&[("trunk", "t1")], true),
        (&[("trunk", "t2")], false),
        (&[("dest_group", "Somalia")], true),
        (&[("dest_group", "Kenya")], false),
        (&[("a_number", "+442071838750")], true),
        (&[("a_number", "44207183875")], false),
        (&[("b_number", "252612345678")], true),
        (&[("b_number", "25261234567")], false),
        (&[("b_prefix", "+25261")], true),
        (&[("b_prefix", "25262")], false),
        (&[("ip", "192.0.2.7")], true),
        (&[("ip", "192.0.2.0/24")], true),
        (&[("ip", "198.51.100.0/24")], false),
        (&[("high_risk", "")], true),
        (&[("international", "")], true),
        (&[("account", "leaf"), ("dest_group", "Somalia")], true),
        (&[("account", "root"), ("dest_group", "Somalia"), ("high_risk", "")], true),
        (&[("account", "leaf"), ("dest_group", "Kenya")], false),
        (&[("account", "other"), ("dest_group", "Somalia")], false),
        (&[("b_prefix", "252"), ("ip", "198.51.100.1")], false),
        // A carrier's block keeps calls from the carrier, not from being made.
        (&[("carrier", "c1")], false),
    ] {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.place(&placed(1, scope(fields)), NOW), Ok(Applied::Placed { evicted: None }));
        assert_eq!(blocks.find(&call(), &ancestors, NOW).is_some(), stops, "{fields:?}");
        assert!(blocks.find(&CallView { emergency: true, ..call() }, &ancestors, NOW).is_none(), "emergency calls match none");
        assert!(blocks.lift(Id(1)) && !blocks.lift(Id(1)), "lifted once");
        assert!(blocks.find(&call(), &ancestors, NOW).is_none() && blocks.is_empty());
        assert!(blocks.by.iter().all(HashMap::is_empty) && blocks.by_expiry.is_empty());
    }
    let domestic = CallView { high_risk: false, international: false, source: None, ..call() };
    for fields in [[("high_risk", "")], [("international", "")], [("ip", "192.0.2.7")]] {
        let mut blocks = Blocks::default();
        blocks.place(&placed(1, scope(&fields)), NOW).expect("placed");
        assert!(blocks.find(&domestic, &[], NOW).is_none(), "{fields:?}");
    }
}

#[test]
fn f_30_a_carriers_block_keeps_calls_from_that_carrier() {
    let mut blocks = Blocks::default();
    blocks.place(&placed(1, scope(&[("carrier", "c1"), ("dest_group", "Somalia")])), NOW).expect("placed");
    assert!(blocks.find_carrier("c1", &call(), &[], NOW).is_some());
    assert!(blocks.find_carrier("c2", &call(), &[], NOW).is_none());
    assert!(blocks.find_carrier("c1", &CallView { dest_group: "Kenya", ..call() }, &[], NOW).is_none());
    assert!(blocks.find_carrier("c1", &CallView { emergency: true, ..call() }, &[], NOW).is_none());
}

#[test]
fn f_31_blocks_expire_and_are_applied_idempotently() {
    let mut blocks = Blocks::default();
    let block = placed(1, scope(&[("account", "leaf")]));
    for _ in 0..2 {
        blocks.place(&block, NOW).expect("placed");
    }
    assert_eq!(blocks.iter().len(), 1);
    assert!(blocks.find(&call(), &[], NOW + 9).is_some());
    assert!(blocks.find(&call(), &[], NOW + 10).is_none(), "stops nothing from the instant it expires");
    assert_eq!(blocks.expire(NOW + 9), []);
    assert_eq!(blocks.expire(NOW + 10), [Id(1)]);
    assert!(blocks.is_empty());
    assert_eq!(blocks.place(&block, NOW + 10), Ok(Applied::Expired));
    let forever = BlockPlaced { expires_us: 0, ..block };
    blocks.place(&forever, NOW).expect("placed");
    assert!(blocks.find(&call(), &[], i64::MAX - 1).is_some());
}

#[test]
fn a_block_of_everything_or_of_nonsense_is_not_put_in_force() {
    let mut blocks = Blocks::default();
    assert_eq!(blocks.place(&placed(1, BlockScope::default()), NOW), Err(BadBlock::Everything(Id(1))));
    assert!(matches!(blocks.place(&placed(2, scope(&[("ip", "here")])), NOW), Err(BadBlock::Address { .. })));
    assert!(blocks.is_empty());
}

#[test]
fn at_the_limit_the_block_that_expires_first_gives_way() {
    let mut blocks = Blocks::default();
    for i in 0..MAX_BLOCKS {
        let block = BlockPlaced { expires_us: NOW + 1_000 + i as i64, ..placed(i as u128 + 1, scope(&[("b_number", &format!("1{i}"))])) };
        blocks.place(&block, NOW).expect("placed");
    }
    let new = placed(u128::MAX, scope(&[("account", "leaf")]));
    assert_eq!(blocks.place(&new, NOW), Ok(Applied::Placed { evicted: Some(Id(1)) }));
    assert_eq!(blocks.iter().len(), MAX_BLOCKS);
    assert!(blocks.find(&call(), &[], NOW).is_some());
}
