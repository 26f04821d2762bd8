use prost::Message;
use tollgate_schemas::{
    cdr::Cdr,
    event::{Body, Event, VERSION},
    log::Append,
    v1::{CdrWritten, LedgerEntry, LedgerPosted},
};

use super::*;
use crate::sample::{numbered, open, put};

fn cdr(hash: impl Fn(&Cdr) -> Vec<u8>) -> Append {
    let cdr = Cdr { account: "acme".to_owned(), ..Cdr::default() };
    let body = Body::CdrWritten(CdrWritten { content_hash: hash(&cdr), cdr: cdr.encode_to_vec() });
    Append { topic: Topic::Cdrs, partition: 0, event: Event { body: Some(body), ..Event::default() } }
}

fn posting(amounts: &[(i64, &str)]) -> Append {
    let entries = amounts.iter().map(|(a, c)| LedgerEntry { account: "x".to_owned(), amount_e8: *a, currency: (*c).to_owned() }).collect();
    let body = Body::LedgerPosted(LedgerPosted { entries, ..LedgerPosted::default() });
    Append { topic: Topic::Ledger, partition: 1, event: Event { body: Some(body), ..Event::default() } }
}

#[test]
fn verify_finds_what_is_wrong_and_nothing_else() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    let sound = vec![numbered(0, 0, 0), cdr(|c| c.content_hash().to_vec()), posting(&[(5, "USD"), (-5, "USD"), (7, "EUR"), (-7, "EUR")])];
    put(&*log, sound);
    let mut told = 0;
    let report = verify(&*log, |events| told = events).expect("read");
    assert!(report.sound(), "{report:?}");
    assert_eq!((report.events, report.cdrs, report.postings, told), (3, 1, 1, 3));

    let mut newer = numbered(0, 1, 0);
    newer.event.oldest_reader = VERSION + 1;
    put(&*log, vec![newer, numbered(0, 2, 0), cdr(|_| vec![0; 32]), posting(&[(5, "USD"), (-5, "EUR")]), Append { event: Event::default(), ..numbered(2, 0, 0) }]);
    drop(log);
    let report = verify(&*open(dir.path()), |_| {}).expect("read");
    let found: Vec<(Topic, u16, u64)> = report.problems.iter().map(|p| (p.topic, p.partition, p.offset)).collect();
    assert_eq!(found, [(Topic::Calls, 0, 1), (Topic::Calls, 2, 0), (Topic::Cdrs, 0, 1), (Topic::Ledger, 1, 1)], "{report:?}");
    assert_eq!(report.events, 7, "what follows an unreadable event is looked at");
}

#[test]
fn ls_and_tail_show_each_stream_from_any_offset_and_follow_it() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    put(&*log, vec![numbered(0, 0, 0), numbered(0, 1, 0), numbered(3, 2, 0)]);
    let shown: Vec<_> = ls(&*log).into_iter().filter(|i| i.events > 0).map(|i| (i.topic, i.partition, i.first_offset, i.next_offset)).collect();
    assert_eq!(shown, [(Topic::Calls, 0, 0, 2), (Topic::Calls, 3, 0, 1)]);
    let places = |tail: Tail<'_>| tail.map(|r| r.map(|(p, r)| (p, r.offset)).expect("read")).collect::<Vec<_>>();
    assert_eq!(places(tail(&*log, Topic::Calls, None, 0, None)), [(0, 0), (0, 1), (3, 0)]);
    assert_eq!(places(tail(&*log, Topic::Calls, Some(0), 1, None)), [(0, 1)]);
    assert!(tail(&*log, Topic::Calls, Some(9), 0, None).next().is_some_and(|r| r.is_err()));

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (log, stop) = (&log, &stop);
        let follower = scope.spawn(move || {
            let seen: Vec<u64> = tail(&**log, Topic::Calls, Some(0), 1, Some(stop)).take(2).map(|r| r.expect("read").1.offset).collect();
            stop.store(true, Ordering::Release);
            (seen, tail(&**log, Topic::Calls, Some(0), 0, Some(stop)).count())
        });
        put(&**log, vec![numbered(0, 3, 0)]);
        assert_eq!(follower.join().expect("follower"), (vec![1, 2], 0));
    });
}
