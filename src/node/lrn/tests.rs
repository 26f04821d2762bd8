//! Sources that are asked, against real sockets.

use std::{
    io::{Read, Write},
    net::{TcpListener, UdpSocket},
    sync::atomic::AtomicUsize,
    time::Instant,
};

use super::*;

fn config() -> LrnConfig {
    LrnConfig { timeout_ms: 300, circuit_failures: 3, circuit_s: 1, ..LrnConfig::default() }
}

fn number(text: &str) -> E164 {
    E164::parse(text).expect("a number of the test")
}

/// What shards were told.
type Told = std::sync::mpsc::Receiver<(Asker, E164, DipAnswer)>;

fn started(config: &LrnConfig) -> (Arc<dyn NumberSource>, Gauges, Told) {
    let (tell, told) = std::sync::mpsc::channel();
    let (source, gauges) = source(config, crate::node::clock, Box::new(move |asker, number, answer| drop(tell.send((asker, number, answer))))).expect("threads");
    (source.expect("a source"), gauges.expect("somebody is asked"), told)
}

fn next(told: &Told) -> (Asker, E164, DipAnswer) {
    told.recv_timeout(Duration::from_secs(5)).expect("a shard is told")
}

/// A service that answers every request alike after a while, and counts them.
fn service(after_ms: u64, head: &'static str, body: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/lrn/{{number}}", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let count = count.clone();
            thread::spawn(move || {
                let mut request = [0u8; 1024];
                let _ = stream.read(&mut request);
                count.fetch_add(1, Ordering::SeqCst);
                thread::sleep(millis(after_ms));
                let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            });
        }
    });
    (url, asked)
}

const PORTED: &str = r#"{"lrn":"12015550000","state":"NJ","ocn":"9206"}"#;

#[test]
fn r_04_one_number_is_asked_for_once_and_every_shard_that_waits_is_told_the_first_with_the_dip() {
    let (url, asked) = service(60, "200 OK", PORTED);
    let (source, gauges, told) = started(&LrnConfig { url: Some(url), ..config() });
    let wanted = number("12125550100");
    let began = Instant::now();
    for asker in [Some(2), Some(0), Some(2), None] {
        assert!(matches!(source.lookup(&wanted, asker, clock_us()), Err(DipError::Pending(1..=300))));
    }
    assert!(began.elapsed() < millis(50), "nobody waits here");
    let (first, second) = (next(&told), next(&told));
    let of = |(asker, number, answer): (Asker, E164, DipAnswer)| {
        let dip = answer.expect("an answer");
        assert!(dip.took_ms >= 60 && number == wanted && dip.found.place.state == "NJ", "{dip:?}");
        (asker, dip.cached)
    };
    assert_eq!((of(first), of(second)), ((2, false), (0, true)));
    assert!(told.recv_timeout(millis(50)).is_err(), "each is told once");
    assert!(source.lookup(&wanted, Some(1), clock_us()).is_ok_and(|d| d.cached && d.took_ms == 0));
    assert_eq!((asked.load(Ordering::SeqCst), gauges.asked(), gauges.remembered(), gauges.circuit()), (1, (1, 0), 1, 0));
    // A day later it is asked again.
    assert!(matches!(source.lookup(&wanted, None, clock_us() + tollgate_rating::portability::MAX_AGE_US), Err(DipError::Pending(_))));
}

fn clock_us() -> i64 {
    crate::node::clock().utc_us
}

#[test]
fn r_04_a_number_the_service_does_not_know_is_not_ported_and_nonsense_is_a_failure() {
    for (head, body, want) in [("404 Not Found", "", Some(None)), ("200 OK", "{}", Some(None)), ("200 OK", PORTED, Some(Some("12015550000"))), ("200 OK", "not json", None), ("500 Oops", "", None), ("200 OK", r#"{"lrn":"x"}"#, None)] {
        let (url, _) = service(0, head, body);
        let (source, gauges, told) = started(&LrnConfig { url: Some(url), ..config() });
        assert!(source.lookup(&number("12125550100"), Some(0), 0).is_err());
        let lrn = next(&told).2.ok().map(|dip| dip.found.lrn.map(|n| n.digits().to_owned()));
        assert_eq!(lrn, want.map(|w| w.map(str::to_owned)), "{head} {body}");
        assert_eq!(gauges.asked(), (1, u64::from(want.is_none())));
    }
}

#[test]
fn r_04_a_source_that_is_slow_is_left_alone_after_a_few_failures_and_tried_again() {
    let slow = Arc::new(std::sync::atomic::AtomicBool::new(true));
    struct Moody(Arc<std::sync::atomic::AtomicBool>);
    impl Ask<Ported> for Moody {
        fn ask(&self, _: &E164) -> Result<Ported, NoAnswer> {
            if self.0.load(Ordering::SeqCst) { Err(NoAnswer::Silent("timed out".to_owned())) } else { Ok(Ported::default()) }
        }
    }
    let (tell, told) = std::sync::mpsc::channel();
    let service = Service::start("portability", Arc::new(Moody(slow.clone())), &config(), crate::node::clock, Box::new(move |a, n, d| drop(tell.send((a, n, d))))).expect("threads");
    let gauges = Gauges(service.shared.clone());
    for n in 0..3 {
        assert!(matches!(service.lookup(&number(&format!("1212555010{n}")), Some(0), clock_us()), Err(DipError::Pending(_))));
        assert!(next(&told).2.is_err());
    }
    assert_eq!(gauges.circuit(), 1);
    assert_eq!(service.lookup(&number("12125550109"), Some(0), clock_us()), Err(DipError::Open), "nobody waits for it now");
    slow.store(false, Ordering::SeqCst);
    thread::sleep(millis(1_050));
    assert!(matches!(service.lookup(&number("12125550109"), Some(0), clock_us()), Err(DipError::Pending(_))));
    assert!(next(&told).2.is_ok());
    assert_eq!((gauges.circuit(), gauges.asked()), (0, (4, 3)));
}

/// Who dials a number may choose what its source says of it.
#[test]
fn r_04_what_a_source_says_of_one_number_switches_it_off_for_none() {
    for (head, body) in [("400 Bad Request", ""), ("200 OK", "not json"), ("200 OK", r#"{"lrn":"x"}"#)] {
        let (url, _) = service(0, head, body);
        let (source, gauges, told) = started(&LrnConfig { url: Some(url), ..config() });
        for n in 0..9 {
            assert!(matches!(source.lookup(&number(&format!("1212555010{n}")), Some(0), clock_us()), Err(DipError::Pending(_))), "{head} {body}");
            assert!(next(&told).2.is_err());
        }
        assert_eq!((gauges.circuit(), gauges.asked()), (0, (9, 9)), "{head} {body}");
    }
}

/// Answers some numbers, and is silent on the others or on all.
struct Choosy {
    silent: std::sync::atomic::AtomicBool,
    asked: Mutex<Vec<E164>>,
}

impl Choosy {
    /// Those that end in 0 are answered.
    fn start(config: &LrnConfig) -> (Service<Ported>, Gauges, Told, Arc<Choosy>) {
        let ask = Arc::new(Choosy { silent: false.into(), asked: Mutex::default() });
        let (tell, told) = std::sync::mpsc::channel();
        let service = Service::start("portability", ask.clone(), config, crate::node::clock, Box::new(move |a, n, d| drop(tell.send((a, n, d))))).expect("threads");
        let gauges = Gauges(service.shared.clone());
        (service, gauges, told, ask)
    }

    fn asked(&self) -> usize {
        self.asked.lock().expect("asked").len()
    }

    /// What comes of so many numbers, asked one after the other, that nobody answers.
    fn none_of(&self, service: &Service<Ported>, told: &Told, numbers: std::ops::Range<u32>) {
        for n in numbers {
            assert!(matches!(service.lookup(&number(&format!("1212555{n:03}1")), Some(0), clock_us()), Err(DipError::Pending(_))), "{n}");
            assert!(next(told).2.is_err());
        }
    }
}

impl Ask<Ported> for Choosy {
    fn ask(&self, number: &E164) -> Result<Ported, NoAnswer> {
        self.asked.lock().expect("asked").push(*number);
        let silent = self.silent.load(Ordering::SeqCst) || !number.digits().ends_with('0');
        if silent { Err(NoAnswer::Silent("timed out".to_owned())) } else { Ok(Ported::default()) }
    }
}

/// Within a second of real threads.
fn soon(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(5), "{what}");
        thread::sleep(millis(5));
    }
}

#[test]
fn r_04_a_number_without_an_answer_is_not_waited_for_again_for_a_while() {
    let (service, gauges, told, ask) = Choosy::start(&LrnConfig { failed_s: 1, circuit_failures: 100, ..config() });
    Choosy::none_of(&ask, &service, &told, 0..1);
    let again = || service.lookup(&number("12125550001"), Some(0), clock_us());
    assert!(matches!(again(), Err(DipError::Failed(_))), "the next calls go by the dialled number at once");
    assert_eq!((ask.asked(), gauges.unanswered()), (1, 1));
    assert!(matches!(service.lookup(&number("12125550010"), Some(0), clock_us()), Err(DipError::Pending(_))), "others are asked for");
    assert!(next(&told).2.is_ok());
    thread::sleep(millis(1_050));
    assert!(matches!(again(), Err(DipError::Pending(_))), "and this one later");
}

#[test]
fn r_04_numbers_a_source_is_silent_on_do_not_switch_it_off_for_others() {
    let (service, gauges, told, ask) = Choosy::start(&config());
    assert!(service.lookup(&number("12125550000"), Some(0), clock_us()).is_err());
    assert!(next(&told).2.is_ok(), "a number it answers");
    // Ten times as many silent ones as would leave it alone: after each three the one that was answered is asked for again.
    for round in 0..10 {
        Choosy::none_of(&ask, &service, &told, 3 * round + 1..3 * round + 4);
        soon("the number that is answered is asked for", || ask.asked() == 1 + 4 * (round as usize + 1));
    }
    assert_eq!((gauges.circuit(), ask.asked.lock().expect("asked").last().copied()), (0, Some(number("12125550000"))));
    // Now it is away: its silence on that number, too, leaves it alone.
    soon("no doubt is left", || service.shared.lock().answered.is_some());
    ask.silent.store(true, Ordering::SeqCst);
    Choosy::none_of(&ask, &service, &told, 40..43);
    soon("left alone", || gauges.circuit() == 1);
    assert_eq!(service.lookup(&number("12125550501"), Some(0), clock_us()), Err(DipError::Open));
    // It is back: nothing is known to be answered any more, so the first number that is wanted tries.
    ask.silent.store(false, Ordering::SeqCst);
    thread::sleep(millis(1_050));
    assert!(matches!(service.lookup(&number("12125550510"), Some(0), clock_us()), Err(DipError::Pending(_))));
    assert!(next(&told).2.is_ok() && gauges.circuit() == 0);
    // Away and back once more, with a number known that it answers: that one tries, and no call waits for it.
    service.shared.lock().circuit = Circuit::new(CircuitRules { failures: 1, open_ns: 0 });
    service.shared.lock().circuit.failed(false, 0);
    assert_eq!(service.lookup(&number("12125550601"), Some(0), clock_us()), Err(DipError::Open));
    soon("it answers again", || gauges.circuit() == 0);
    assert_eq!(ask.asked.lock().expect("asked").last().copied(), Some(number("12125550510")));
}

#[test]
fn r_04_a_source_is_examined_by_one_question() {
    let (url, asked) = service(0, "404 Not Found", "");
    let found = examine(&LrnConfig { url: Some(url.clone()), ..config() });
    assert!(matches!(&found, Some(Examined::Answers { source, .. }) if *source == url), "{found:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let (url, _) = service(0, "200 OK", "not json");
    assert!(matches!(examine(&LrnConfig { url: Some(url), ..config() }), Some(Examined::Useless(_))));
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let server = silent.local_addr().expect("an address");
    assert!(matches!(examine(&LrnConfig { enum_server: Some(server), ..config() }), Some(Examined::Silent(_))));
    assert_eq!(examine(&config()), None, "nothing is looked up");
}

/// A name server on a real socket: it answers each question by `reply`, which may say nothing.
fn name_server(reply: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> std::net::SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let addr = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        for nth in 0.. {
            let Ok((n, from)) = socket.recv_from(&mut buffer) else { return };
            for answer in reply(nth, &buffer[..n]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    addr
}

/// The answer to a question: one record.
fn naptr(question: &[u8], expression: &str) -> Vec<u8> {
    let mut out = question[..question.len() - 11].to_vec();
    out[2..4].copy_from_slice(&[0x81, 0x80]);
    out[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
    let mut data = vec![0, 10, 0, 10, 1, b'u', 12];
    data.extend_from_slice(b"E2U+pstn:tel");
    data.push(expression.len() as u8);
    data.extend_from_slice(expression.as_bytes());
    data.push(0);
    out.extend_from_slice(&[0xc0, 12, 0, 35, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
    out.extend_from_slice(&data);
    out
}

fn ask_enum(server: std::net::SocketAddr) -> DipAnswer {
    let (source, _, told) = started(&LrnConfig { enum_server: Some(server), enum_suffix: "e164.example".to_owned(), ..config() });
    assert!(source.lookup(&number("12125550100"), Some(0), clock_us()).is_err());
    next(&told).2
}

#[test]
fn r_04_a_name_server_says_the_routing_number_and_forged_answers_are_passed_over() {
    const RIGHT: &str = "!^.*$!tel:+12125550100;npdi;rn=+12015550000!";
    let ported = |answer: DipAnswer| answer.map(|d| d.found.lrn.map(|n| n.digits().to_owned()));
    let right = Ok(Some("12015550000".to_owned()));
    assert_eq!(ported(ask_enum(name_server(|_, q| vec![naptr(q, RIGHT)]))), right);
    // The first question is lost.
    assert_eq!(ported(ask_enum(name_server(|nth, q| if nth == 0 { vec![] } else { vec![naptr(q, RIGHT)] }))), right);
    // Another id first, noise, then the right one.
    let forged = name_server(|_, q| {
        let mut other = naptr(q, "!^.*$!tel:+1;rn=+19005550000!");
        other[0] ^= 0x55;
        vec![other, b"x".to_vec(), naptr(q, RIGHT)]
    });
    assert_eq!(ported(ask_enum(forged)), right);
    // From elsewhere than the server: never read.
    let elsewhere = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let server = silent.local_addr().expect("an address");
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((n, from)) = silent.recv_from(&mut buffer) {
            let _ = elsewhere.send_to(&naptr(&buffer[..n], RIGHT), from);
        }
    });
    let answer = ask_enum(server);
    assert!(matches!(&answer, Err(DipError::Failed(why)) if why.contains("no answer within 300 ms")), "{answer:?}");
}
