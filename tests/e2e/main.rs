//! The whole program from outside: real SIP over the loopback into the real binary, and what its API, its files and its
//! exit codes then say. Each case has a node, a data folder and addresses of its own, so cases run side by side.
//!
//! Timers are short by configuration (the defaults are proved on fake clocks in `proxy`). Latencies are printed
//! (`--nocapture`) and asserted only far above their goals.

mod backup;
mod bad_input;
mod billing;
mod blocks;
mod calls;
mod cancel;
mod coverage;
mod crash;
mod credit;
mod decks;
mod dialogs;
mod disk;
mod finance;
mod fraud;
mod harness;
mod hunt;
mod kill;
mod limits;
mod money;
mod numbers;
mod quality;
mod reports;
mod requests;
mod sources;
mod stop;
mod teardown;
mod ua;
