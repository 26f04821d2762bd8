//! Where a call is from and to, as prices go by it: the number table and US jurisdiction, the caller's
//! origin groups and the surcharges by them. [`Places`] joins them for one call.

pub mod jurisdiction;
pub mod number_table;
pub mod origin;
mod places;
pub mod surcharge;

#[cfg(test)]
mod tests;

pub use jurisdiction::{CallerBy, Judged, Rules, Unknown, judge};
pub use number_table::{NumberTable, TableProblem};
pub use origin::{BUILT_IN, BadGroup, Origin, OriginGroups};
pub use places::{Known, Places};
pub use surcharge::{Adders, BadSurcharge, Leg, Surcharges};
