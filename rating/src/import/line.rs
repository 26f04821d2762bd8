//! One code of a preview: what it cost, what it will cost, and what to look at.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use tollgate_schemas::money::{RATE_PLACES, format_rate, format_scaled};

/// What happens to a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    New,
    Increased,
    Decreased,
    /// The same rate; another fee, increment, class or destination.
    Changed,
    Closed,
    Blocked,
    Unchanged,
}

impl Change {
    pub const ALL: [Change; 7] = [Change::New, Change::Increased, Change::Decreased, Change::Changed, Change::Closed, Change::Blocked, Change::Unchanged];

    pub fn name(self) -> &'static str {
        match self {
            Change::New => "new",
            Change::Increased => "increased",
            Change::Decreased => "decreased",
            Change::Changed => "changed",
            Change::Closed => "closed",
            Change::Blocked => "blocked",
            Change::Unchanged => "unchanged",
        }
    }
}

/// A code's terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Shown", into = "Shown")]
pub struct LinePrice {
    pub rate_e12: i64,
    pub rate_places: u8,
    pub connect_fee_e12: i64,
    pub initial_s: u32,
    pub increment_s: u32,
    pub inter_e12: Option<i64>,
    pub intra_e12: Option<i64>,
    pub indeterminate_e12: Option<i64>,
    pub blocked: bool,
    pub route_class: Arc<str>,
    pub destination: Arc<str>,
}

/// As JSON shows it: prices as decimal text.
#[derive(Clone, Serialize, Deserialize)]
struct Shown {
    rate: String,
    connect_fee: String,
    initial: u32,
    increment: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interrate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intrarate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ijrate: Option<String>,
    blocked: bool,
    route_class: String,
    destination: String,
}

impl From<LinePrice> for Shown {
    fn from(p: LinePrice) -> Shown {
        Shown {
            rate: p.rate_text(),
            connect_fee: format_rate(p.connect_fee_e12),
            initial: p.initial_s,
            increment: p.increment_s,
            interrate: p.inter_e12.map(format_rate),
            intrarate: p.intra_e12.map(format_rate),
            ijrate: p.indeterminate_e12.map(format_rate),
            blocked: p.blocked,
            route_class: p.route_class.to_string(),
            destination: p.destination.to_string(),
        }
    }
}

impl From<Shown> for LinePrice {
    fn from(s: Shown) -> LinePrice {
        let price = |text: &str| tollgate_schemas::money::parse_scaled(text, RATE_PLACES).unwrap_or(0);
        LinePrice {
            rate_e12: price(&s.rate),
            rate_places: s.rate.split_once('.').map_or(0, |(_, f)| f.len() as u8),
            connect_fee_e12: price(&s.connect_fee),
            initial_s: s.initial,
            increment_s: s.increment,
            inter_e12: s.interrate.as_deref().map(price),
            intra_e12: s.intrarate.as_deref().map(price),
            indeterminate_e12: s.ijrate.as_deref().map(price),
            blocked: s.blocked,
            route_class: s.route_class.into(),
            destination: s.destination.into(),
        }
    }
}

impl LinePrice {
    pub fn rate_text(&self) -> String {
        format_scaled(self.rate_e12, RATE_PLACES, self.rate_places.into())
    }

    /// The same in all that a call or an invoice shows; the places a rate was written with are no matter.
    pub fn same(&self, other: &LinePrice) -> bool {
        LinePrice { rate_places: 0, ..self.clone() } == LinePrice { rate_places: 0, ..other.clone() }
    }

    /// Some call costs more by `other`: a higher rate or fee, or a coarser increment.
    pub fn is_dearer_in(&self, other: &LinePrice) -> bool {
        let prices = |p: &LinePrice| [Some(p.rate_e12), Some(p.connect_fee_e12), p.inter_e12.or(Some(p.rate_e12)), p.intra_e12.or(Some(p.rate_e12)), p.indeterminate_e12.or(Some(p.rate_e12))];
        !other.blocked
            && (prices(self).iter().zip(prices(other)).any(|(a, b)| b > *a) || other.initial_s > self.initial_s || (other.increment_s > self.increment_s && other.increment_s > 1))
    }
}

impl fmt::Display for LinePrice {
    /// `0.0100 6/6 +0.05`: rate, increments, connect fee; then `inter 0.0070` and its like, where there are prices by jurisdiction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.blocked {
            return f.write_str("blocked");
        }
        write!(f, "{} {}/{}", self.rate_text(), self.initial_s, self.increment_s)?;
        if self.connect_fee_e12 != 0 {
            write!(f, " +{}", format_rate(self.connect_fee_e12))?;
        }
        for (name, rate) in [("inter", self.inter_e12), ("intra", self.intra_e12), ("ij", self.indeterminate_e12)] {
            if let Some(rate) = rate {
                write!(f, " {name} {}", format_rate(rate))?;
            }
        }
        Ok(())
    }
}

/// Something to look at before a change is approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "flag", rename_all = "snake_case")]
pub enum Flag {
    /// The rate moves by more than the limit.
    Suspicious,
    /// Dearer with less notice than the deck's, taken for the reason given.
    ShortNotice { hours: i64 },
    /// It was effective in the past and becomes so now.
    MovedToNow { was: String },
    /// Its numbers were priced by a shorter prefix until now.
    BrokenOutOf { prefix: String, price: LinePrice },
    /// Its numbers fall to a shorter prefix of this deck.
    FallsTo { prefix: String, price: LinePrice },
    /// No prefix of this deck prices its numbers any more.
    NoPrice,
    /// Not in a sheet that is said to be full.
    NotListed,
    /// Announced for later, and withdrawn.
    Withdraws { rows: u64 },
    /// The sheet says it cost something else until now.
    PreviousDiffers { said: String },
    /// The sheet calls the change something else.
    ClaimsOtherwise { said: String },
    /// No price between two of its rows.
    Gap { from: String, to: String },
    /// Nothing of this code was in force.
    NothingToClose,
    /// The code ends then.
    Ends { at: String },
}

impl Flag {
    pub fn name(&self) -> &'static str {
        match self {
            Flag::Suspicious => "suspicious",
            Flag::ShortNotice { .. } => "short_notice",
            Flag::MovedToNow { .. } => "moved_to_now",
            Flag::BrokenOutOf { .. } => "broken_out_of",
            Flag::FallsTo { .. } => "falls_to",
            Flag::NoPrice => "no_price",
            Flag::NotListed => "not_listed",
            Flag::Withdraws { .. } => "withdraws",
            Flag::PreviousDiffers { .. } => "previous_differs",
            Flag::ClaimsOtherwise { .. } => "claims_otherwise",
            Flag::Gap { .. } => "gap",
            Flag::NothingToClose => "nothing_to_close",
            Flag::Ends { .. } => "ends",
        }
    }

    /// Asks for a decision, rather than only telling.
    pub fn is_alarming(&self) -> bool {
        !matches!(self, Flag::NotListed | Flag::Ends { .. } | Flag::FallsTo { .. } | Flag::BrokenOutOf { .. })
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flag::Suspicious => f.write_str("suspicious jump"),
            Flag::ShortNotice { hours } => write!(f, "notice of {hours} h"),
            Flag::MovedToNow { was } => write!(f, "was {was}, in the past"),
            Flag::BrokenOutOf { prefix, price } => write!(f, "broken out of {prefix} ({price})"),
            Flag::FallsTo { prefix, price } => write!(f, "falls to {prefix} ({price})"),
            Flag::NoPrice => f.write_str("no price any more"),
            Flag::NotListed => f.write_str("not listed"),
            Flag::Withdraws { rows } => write!(f, "withdraws {rows} announced"),
            Flag::PreviousDiffers { said } => write!(f, "sheet says it was {said}"),
            Flag::ClaimsOtherwise { said } => write!(f, "sheet says {said}"),
            Flag::Gap { from, to } => write!(f, "gap {from} to {to}"),
            Flag::NothingToClose => f.write_str("nothing to close"),
            Flag::Ends { at } => write!(f, "ends {at}"),
        }
    }
}

/// What an import does to one code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub prefix: String,
    /// Empty = every caller.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin_group: String,
    pub destination: String,
    pub change: Change,
    pub old: Option<LinePrice>,
    pub new: Option<LinePrice>,
    /// RFC 3339; `since ever` for a deck's first rows without a date.
    pub effective: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// Where in the sheet; empty for codes it does not list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}
