//! Portability sources of a node (R-04): a file in memory, or a service asked over HTTP by threads of its own. A shard never
//! waits for either: an answer that is remembered is given at once; a number that nobody asked for yet is asked beside, and its
//! call goes by the dialled number (`lrn_source` "fallback") — the next one knows.
//!
//! Limits: [`QUEUE`] numbers waiting to be asked, beyond that the call falls back and nothing is asked; answers as configured,
//! the oldest given up first, none kept longer than 24 h.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::Deserialize;
use tollgate_proxy::admission::PortabilitySource;
use tollgate_rating::portability::{Answers, PortedFile};
use tollgate_schemas::{
    number::E164,
    parties::Place,
    portability::{Dip, DipError, Portability, Ported},
    time::Now,
};

use crate::config::LrnConfig;

/// Numbers waiting to be asked.
const QUEUE: usize = 4_096;
const ASKERS: usize = 8;
/// An answer is a few fields.
const MAX_ANSWER: u64 = 64 << 10;

/// What the configuration names, if anything.
pub fn source(config: &LrnConfig, clock: fn() -> Now) -> anyhow::Result<PortabilitySource> {
    if let Some(file) = &config.file {
        let bytes = std::fs::read(file).with_context(|| format!("lrn.file {}", file.display()))?;
        let ported = PortedFile::read(&bytes).map_err(|bad| anyhow::anyhow!("lrn.file {}:\n  {}", file.display(), bad.join("\n  ")))?;
        tracing::info!(numbers = ported.len(), file = %file.display(), "portability from a file");
        return Ok(PortabilitySource::new(Arc::new(ported)));
    }
    match &config.url {
        Some(url) => Ok(PortabilitySource::new(Arc::new(Service::start(url, config, clock)?))),
        None => Ok(PortabilitySource::default()),
    }
}

/// A service's answers, remembered.
struct Service {
    shared: Arc<Shared>,
    ask: SyncSender<E164>,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    answers: Answers,
    /// Being asked, or waiting for it.
    asked: HashSet<E164>,
}

/// What the service says; an empty or absent `lrn` = not ported.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    lrn: Option<String>,
    ocn: String,
    lata: String,
    rate_center: String,
    state: String,
}

impl Answer {
    fn ported(self) -> Result<Ported, String> {
        let lrn = match self.lrn.filter(|n| !n.is_empty()) {
            Some(text) => Some(E164::parse(&text).map_err(|e| format!("lrn: {e}"))?),
            None => None,
        };
        Ok(Ported { lrn, place: Place { ocn: self.ocn, lata: self.lata, rate_center: self.rate_center, state: self.state } })
    }
}

impl Service {
    fn start(url: &str, config: &LrnConfig, clock: fn() -> Now) -> anyhow::Result<Service> {
        let age_us = i64::try_from(config.cache_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let answers = Answers::new(config.cache_numbers as usize, age_us);
        let shared = Arc::new(Shared { state: Mutex::new(State { answers, asked: HashSet::new() }) });
        let (ask, asked) = sync_channel(QUEUE);
        let asked = Arc::new(Mutex::new(asked));
        for n in 0..ASKERS {
            let (shared, asked, url) = (shared.clone(), asked.clone(), url.to_owned());
            let timeout = Duration::from_millis(config.timeout_ms);
            // They end when the service is dropped and the queue with it.
            thread::Builder::new().name(format!("lrn-{n}")).spawn(move || shared.answer_all(&asked, &url, timeout, clock))?;
        }
        Ok(Service { shared, ask })
    }
}

impl Portability for Service {
    fn lookup(&self, number: &E164, now_us: i64) -> Result<Dip, DipError> {
        let mut state = self.shared.lock();
        if let Some(ported) = state.answers.get(number, now_us) {
            return Ok(Dip { ported: ported.clone(), cached: true, took_ms: 0 });
        }
        if !state.asked.insert(*number) {
            return Err(DipError::Pending);
        }
        match self.ask.try_send(*number) {
            Ok(()) => Err(DipError::Pending),
            Err(_) => {
                state.asked.remove(number);
                Err(DipError::Busy)
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_all(&self, asked: &Mutex<Receiver<E164>>, url: &str, timeout: Duration, clock: fn() -> Now) {
        let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(timeout)).build().into();
        loop {
            let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(number) = next else { return };
            let began = Instant::now();
            let answer = ask(&agent, url, &number);
            let mut state = self.lock();
            state.asked.remove(&number);
            match answer {
                Ok(ported) => state.answers.put(number, ported, clock().utc_us),
                Err(error) => tracing::warn!(error, took_ms = began.elapsed().as_millis() as u64, "a portability look-up failed: calls go by the dialled number"),
            }
        }
    }
}

fn ask(agent: &ureq::Agent, url: &str, number: &E164) -> Result<Ported, String> {
    let mut response = agent.get(url.replace("{number}", number.digits())).call().map_err(|e| e.to_string())?;
    let answer: Answer = response.body_mut().with_config().limit(MAX_ANSWER).read_json().map_err(|e| e.to_string())?;
    answer.ported()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    fn clock() -> Now {
        Now { utc_us: 1_000_000, mono_ns: 1 }
    }

    /// A service that answers every request alike, and counts them.
    fn service(body: &'static str) -> (String, Arc<std::sync::atomic::AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/lrn/{{number}}", listener.local_addr().expect("an address"));
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0u8; 1024];
                let _ = stream.read(&mut request);
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            }
        });
        (url, asked)
    }

    fn until_known(service: &Service, number: &E164) -> Option<Dip> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            match service.lookup(number, 1_000_000) {
                Ok(dip) => return Some(dip),
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
        None
    }

    #[test]
    fn r_04_a_shard_never_waits_and_the_next_call_knows() {
        let (url, asked) = service(r#"{"lrn":"12015550000","state":"NJ","ocn":"9206"}"#);
        let config = LrnConfig { url: Some(url.clone()), ..LrnConfig::default() };
        let service = Service::start(&url, &config, clock).expect("threads");
        let number = E164::parse("12125550100").expect("a number");
        let began = Instant::now();
        assert_eq!(service.lookup(&number, 1_000_000), Err(DipError::Pending));
        assert!(began.elapsed() < Duration::from_millis(50));
        let dip = until_known(&service, &number).expect("an answer");
        assert_eq!((dip.ported.lrn.map(|n| n.digits().to_owned()).as_deref(), dip.ported.place.state.as_str(), dip.cached), (Some("12015550000"), "NJ", true));
        service.lookup(&number, 1_000_000).expect("remembered");
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1, "one number is asked for once");
        // A day later it is asked again.
        assert_eq!(service.lookup(&number, 1_000_000 + tollgate_rating::portability::MAX_AGE_US), Err(DipError::Pending));
    }

    #[test]
    fn r_04_a_service_that_answers_nonsense_leaves_the_dialled_number_in_force() {
        let (url, asked) = service("not json");
        let config = LrnConfig { url: Some(url.clone()), timeout_ms: 200, ..LrnConfig::default() };
        let service = Service::start(&url, &config, clock).expect("threads");
        let number = E164::parse("12125550100").expect("a number");
        let began = Instant::now();
        while asked.load(std::sync::atomic::Ordering::SeqCst) < 3 && began.elapsed() < Duration::from_secs(5) {
            assert!(service.lookup(&number, 1_000_000).is_err());
            thread::sleep(Duration::from_millis(5));
        }
        assert!(asked.load(std::sync::atomic::Ordering::SeqCst) >= 3, "it is asked again for the next call");
    }
}
