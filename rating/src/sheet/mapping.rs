//! What a person says about a carrier's sheet, where its own words do not suffice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Column;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    Dmy,
    Mdy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecimalSign {
    Point,
    Comma,
}

/// Whether `44 20` is one code or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spaces {
    Join,
    List,
}

/// Whether an area code's leading 0 is the national prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AreaZero {
    Keep,
    Drop,
}

/// The mapping file, and what the command line adds. Everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// Sheets of the workbook that are read; empty = every visible one with a header.
    pub sheets: Vec<String>,
    /// Row of the header, from 1.
    pub header_row: Option<u64>,
    /// By column of ours: a header's text, or a letter as `C`.
    pub columns: BTreeMap<Column, String>,
    pub dates: Option<DateOrder>,
    pub decimal: Option<DecimalSign>,
    /// ISO 4217, for rows that name none.
    pub currency: Option<String>,
    /// IANA zone of dates without a time; none = the deck's.
    pub timezone: Option<String>,
    /// For rows without a date: a date, or `now`.
    pub effective_from: Option<String>,
    /// For rows without increments: `60/60`.
    pub increments: Option<String>,
    /// Destination of rows that name none.
    pub destination: Option<String>,
    pub route_class: Option<String>,
    pub spaces: Option<Spaces>,
    pub area_zero: Option<AreaZero>,
}
