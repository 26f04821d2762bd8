//! The quality stages by the requirements they meet, over events as the proxy writes them.

#[path = "quality/classes.rs"]
mod classes;
#[path = "quality/counting.rs"]
mod counting;
#[path = "quality/judging.rs"]
mod judging;
#[path = "quality/made.rs"]
mod made;
