//! How carriers do, from the calls themselves: pure folds over the log, in whole numbers.
//!
//! 1. [`Counter`] counts one partition of topic `calls` by carrier, destination and codec class, in minutes of event time, and publishes
//!    absolute counts to topic `quality`, keyed by the destination.
//! 2. [`Judge`] merges the counts of all partitions, judges each carrier against the others of its destination, and publishes a
//!    *verdict* per destination: ratios with their confidence, who is demoted, who answers falsely. Its name goes into every choice made
//!    by it, so that the choice can be made again.
//! 3. [`Quality`] holds the newest verdict of each destination where routes are chosen: a call goes by what its codec class says of a
//!    carrier where that is enough, else by what all calls say.
//!
//! **What counts.** A carrier is judged by *first* attempts of fresh calls. What comes to it after another carrier failed is hard
//! by selection and is counted apart, and so are redials (the same caller and number within a minute). An attempt counts when its
//! outcome is known, in the minute it became known. Attempts that we ended ourselves (a block, a command, a restart) count nowhere.

mod count;
mod figures;
mod judge;
mod known;
mod ratio;

pub use count::Counter;
pub use figures::{CLASS_ENDS_MS, Figure, Figures};
pub use judge::{Judge, MAX_KEYS, Rules};
pub use known::{CarrierKnown, ClassKnown, GroupKnown, Positions, Quality, State};
pub use ratio::{wilson_lower_e6, z_e2};

/// Windows of the counts.
pub const MINUTE_US: i64 = 60_000_000;
/// sampling.
pub const SAMPLING_US: i64 = 5_000_000;
/// Counts of a minute may be replaced so long after it began; later facts count nowhere.
pub const LATE_US: i64 = 15 * MINUTE_US;
/// Times outside 1970 to about 2223 are a broken clock or a broken event.
const LAST_US: i64 = 8_000_000_000_000_000;
