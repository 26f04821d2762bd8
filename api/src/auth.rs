//! Who asks, and what they may: keys, the portal's sessions, rates.

mod keys;
mod rate;
mod sessions;

pub use keys::{BadKey, Caller, Key, KeyConfig, Keys, Scope};
pub use rate::RateLimiter;
pub use sessions::{COOKIE, SESSION_S, Sessions};
