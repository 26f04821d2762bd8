//! The portal's sessions: the key is given once, the browser keeps a random id, the server the key's identity.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use super::keys::{Caller, digest};

pub const COOKIE: &str = "tollgate_session";
/// Length of a session.
pub const SESSION_S: i64 = 12 * 3600;
/// Sessions at once; beyond it the oldest ends.
const OPEN: usize = 1_000;

struct Session {
    /// SHA-256 of the id: a look at memory does not give it away, and comparing needs no constant time.
    hash: [u8; 32],
    caller: Caller,
    ends_us: i64,
}

#[derive(Default)]
pub struct Sessions(Mutex<VecDeque<Session>>);

impl Sessions {
    /// Begins a session; gives its id, or nothing when the machine has no randomness.
    pub fn begin(&self, caller: Caller, now_us: i64) -> Option<String> {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).ok()?;
        let id: String = random.iter().map(|b| format!("{b:02x}")).collect();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|s| s.ends_us > now_us);
        while open.len() >= OPEN {
            open.pop_front();
        }
        open.push_back(Session { hash: digest(&id), caller, ends_us: now_us + SESSION_S * 1_000_000 });
        Some(id)
    }

    pub fn find(&self, id: &str, now_us: i64) -> Option<Caller> {
        let hash = digest(id);
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().find(|s| s.hash == hash && s.ends_us > now_us).map(|s| s.caller.clone())
    }

    pub fn end(&self, id: &str) {
        let hash = digest(id);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|s| s.hash != hash);
    }
}
