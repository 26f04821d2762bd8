//! Simulated user agents over UDP: sans-IO state machines ([`caller`], [`carrier`]) and the loop that gives them a
//! socket and a clock. One thread an agent, however many calls it has.

pub mod caller;
pub mod carrier;
pub mod timers;
pub mod wire;

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Longest sleep, so that a stop is seen.
const NAP: Duration = Duration::from_millis(20);

/// Datagrams to be sent, in order.
pub type Out = Vec<(SocketAddr, Vec<u8>)>;

/// A user agent without socket and clock.
pub trait Agent {
    /// A datagram came in.
    fn handle(&mut self, bytes: &[u8], from: SocketAddr, now: Instant, out: &mut Out);
    /// Does what is due by now.
    fn tick(&mut self, now: Instant, out: &mut Out);
    /// When `tick` has something to do next.
    fn next_due(&self) -> Option<Instant>;
}

/// Runs an agent on its socket until told to stop, and gives it back with all it remembers.
pub fn serve<A: Agent>(socket: &UdpSocket, mut agent: A, stop: &AtomicBool) -> std::io::Result<A> {
    let mut out = Out::new();
    let mut buf = vec![0u8; 65_535];
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        agent.tick(now, &mut out);
        send(socket, &mut out);
        let wait = agent.next_due().map_or(NAP, |due| due.saturating_duration_since(now).clamp(Duration::from_millis(1), NAP));
        socket.set_read_timeout(Some(wait))?;
        match socket.recv_from(&mut buf) {
            Ok((len, from)) => {
                agent.handle(&buf[..len], from, Instant::now(), &mut out);
                send(socket, &mut out);
            }
            // A port nobody listens on any more is told to us as a refused connection; the timers deal with it.
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(agent)
}

/// UDP loses what it cannot send, and retransmissions make up for it.
fn send(socket: &UdpSocket, out: &mut Out) {
    for (to, bytes) in out.drain(..) {
        let _ = socket.send_to(&bytes, to);
    }
}

#[cfg(test)]
mod tests;
