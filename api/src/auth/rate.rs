//! How often a key may ask: a bucket of tokens per key.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use foldhash::{HashMap, HashMapExt};

pub struct RateLimiter {
    per_s: u32,
    burst: u32,
    /// Tokens in thousandths and when they were counted. Keys are few: they come from the configuration.
    buckets: Mutex<HashMap<String, (u64, Instant)>>,
}

impl RateLimiter {
    pub fn new(per_s: u32, burst: u32) -> RateLimiter {
        RateLimiter { per_s: per_s.max(1), burst: burst.max(1), buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes a token, or says how long until there is one.
    pub fn take(&self, key: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = u64::from(self.burst) * 1000;
        let (tokens, at) = buckets.entry(key.to_owned()).or_insert((full, now));
        let gained = now.saturating_duration_since(*at).as_millis() as u64 * u64::from(self.per_s);
        if gained > 0 {
            *tokens = tokens.saturating_add(gained).min(full);
            *at = now;
        }
        if *tokens < 1000 {
            return Err(Duration::from_millis((1000 - *tokens).div_ceil(u64::from(self.per_s))));
        }
        *tokens -= 1000;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_08_a_key_beyond_its_rate_waits_and_others_do_not() {
        let (limiter, t) = (RateLimiter::new(10, 2), Instant::now());
        assert!(limiter.take("a", t).is_ok() && limiter.take("a", t).is_ok());
        assert_eq!(limiter.take("a", t), Err(Duration::from_millis(100)));
        assert!(limiter.take("b", t).is_ok());
        assert!(limiter.take("a", t + Duration::from_millis(99)).is_err());
        assert!(limiter.take("a", t + Duration::from_millis(100)).is_ok());
    }
}
