//! Puts the players on their sockets and threads, and collects what they remember.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};

use super::{
    attack::Attack,
    prng::Prng,
    scene::{CUSTOMERS, OFFICE, carriers},
    traffic::{Emergency, Everyday},
    ua::{
        caller::{CallRecord, Caller, Notice, Stage},
        carrier::{Carrier, LegRecord},
        serve,
    },
};

/// Sockets of all players, bound before the node learns their addresses.
pub struct Sockets {
    callers: Vec<UdpSocket>,
    carriers: Vec<UdpSocket>,
}

impl Sockets {
    pub fn bind() -> anyhow::Result<Sockets> {
        let bind = |n: usize| (0..n).map(|_| UdpSocket::bind("127.0.0.1:0").context("a UDP socket on loopback")).collect::<anyhow::Result<Vec<_>>>();
        Ok(Sockets { callers: bind(CUSTOMERS.len())?, carriers: bind(carriers().len())? })
    }

    pub fn callers(&self) -> anyhow::Result<Vec<SocketAddr>> {
        addresses(&self.callers)
    }

    pub fn carriers(&self) -> anyhow::Result<Vec<SocketAddr>> {
        addresses(&self.carriers)
    }
}

fn addresses(sockets: &[UdpSocket]) -> anyhow::Result<Vec<SocketAddr>> {
    sockets.iter().map(|s| s.local_addr().context("a socket's address")).collect()
}

/// When what happens.
#[derive(Debug, Clone, Copy)]
pub struct Timetable {
    pub start: Instant,
    pub seconds: u32,
    pub cps: u32,
}

impl Timetable {
    pub fn attack(&self) -> Instant {
        self.start + Duration::from_secs(self.seconds.into()) / 3
    }

    pub fn emergency(&self) -> Instant {
        self.start + Duration::from_secs(self.seconds.into()) / 2
    }

    pub fn end(&self) -> Instant {
        self.start + Duration::from_secs(self.seconds.into())
    }
}

/// The players at work.
pub struct Cast {
    callers: Vec<JoinHandle<std::io::Result<Caller>>>,
    carriers: Vec<JoinHandle<std::io::Result<Carrier>>>,
    stop_callers: Arc<AtomicBool>,
    stop_carriers: Arc<AtomicBool>,
}

impl Cast {
    /// `run`: starts every Call-ID of this run.
    pub fn start(sockets: Sockets, proxy: SocketAddr, run: &str, seed: u64, times: Timetable, stage: &Arc<Stage>, notices: &Sender<Notice>) -> anyhow::Result<Cast> {
        let (stop_callers, stop_carriers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut cast = Cast { callers: Vec::new(), carriers: Vec::new(), stop_callers, stop_carriers };
        for (part, socket) in carriers().into_iter().zip(sockets.carriers) {
            let agent = Carrier::new(part.name, socket.local_addr()?, run, part.quality, Prng::new(seed, part.name));
            let stop = cast.stop_carriers.clone();
            let thread = thread::Builder::new().name(format!("demo-{}", part.name)).spawn(move || serve(&socket, agent, &stop))?;
            cast.carriers.push(thread);
        }
        for (customer, socket) in CUSTOMERS.iter().zip(sockets.callers) {
            let mut prng = Prng::new(seed, customer.name);
            let everyday = Everyday::new(customer, Prng::new(prng.next(), "everyday"), times.start, times.cps, times.seconds);
            let attack = Attack::new(Prng::new(prng.next(), "attack"), times.attack(), customer.number);
            let mut agent = Caller::new(customer.name, socket.local_addr()?, proxy, run, prng, stage.clone(), notices.clone()).with(everyday);
            if customer.name == OFFICE {
                agent = agent.with(attack).with(Emergency::new(times.emergency(), customer.number));
            }
            let stop = cast.stop_callers.clone();
            let thread = thread::Builder::new().name(format!("demo-{}", customer.name)).spawn(move || serve(&socket, agent, &stop))?;
            cast.callers.push(thread);
        }
        Ok(cast)
    }

    /// Ends the callers, then, when nothing can be on its way any more, the carriers.
    pub fn stop(self, linger: Duration) -> anyhow::Result<(Vec<CallRecord>, Vec<LegRecord>)> {
        thread::sleep(linger);
        self.stop_callers.store(true, Ordering::Relaxed);
        let callers = collect(self.callers)?;
        self.stop_carriers.store(true, Ordering::Relaxed);
        let carriers = collect(self.carriers)?;
        Ok((
            callers.into_iter().flat_map(Caller::into_records).collect(),
            carriers.into_iter().flat_map(Carrier::into_records).collect(),
        ))
    }
}

fn collect<A>(threads: Vec<JoinHandle<std::io::Result<A>>>) -> anyhow::Result<Vec<A>> {
    threads.into_iter().map(|t| t.join().map_err(|_| anyhow!("a simulated user agent panicked"))?.context("a simulated user agent")).collect()
}
