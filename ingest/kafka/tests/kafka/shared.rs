//! What several processes on one log rely on.
