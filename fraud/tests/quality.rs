//! Figures by keys that span partitions: what the first fold counts, what the second makes of it, and what it says.

#[path = "quality/calls.rs"]
mod calls;
#[path = "quality/counting.rs"]
mod counting;
#[path = "quality/merging.rs"]
mod merging;
#[path = "quality/rules.rs"]
mod rules;
