//! Attack traces and their look-alikes: what must be found, when, and what must not be. Thresholds are those of the
//! default policy (F-01) unless a trace says otherwise.

#[path = "scenarios/attack.rs"]
mod attack;
#[path = "scenarios/bounds.rs"]
mod bounds;
#[path = "scenarios/evasions.rs"]
mod evasions;
#[path = "scenarios/nodes.rs"]
mod nodes;
#[path = "scenarios/replay.rs"]
mod replay;
#[path = "scenarios/thresholds.rs"]
mod thresholds;
#[path = "scenarios/trace.rs"]
mod trace;
#[path = "scenarios/verdicts.rs"]
mod verdicts;
