//! Routing by policy and quality, by the requirements it meets.

#[path = "routing/classes.rs"]
mod classes;
#[path = "routing/explore.rs"]
mod explore;
#[path = "routing/filters.rs"]
mod filters;
#[path = "routing/made.rs"]
mod made;
#[path = "routing/order.rs"]
mod order;
#[path = "routing/peers.rs"]
mod peers;
