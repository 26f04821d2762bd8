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

/// What `1,868` is: a list of two codes, or a number that a spreadsheet has parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commas {
    List,
    Join,
}

/// Whether codes begin with a country's, or are North America's without its 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodePlan {
    E164,
    NpaNxx,
}

/// Whether an end without a time is the last day, or the first one without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndDay {
    Included,
    Excluded,
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
    /// Columns that are of no matter, by a header's text or a letter.
    pub ignore: Vec<String>,
    /// What prices are in, by column of ours, where the header does not say it: `cents`, `per second`, `whole`, or a factor as `0.001`.
    pub units: BTreeMap<Column, String>,
    /// A sheet of codes, joined to the sheets of rates by the name of the destination.
    pub codes_sheet: Option<String>,
    pub codes: Option<CodePlan>,
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
    pub commas: Option<Commas>,
    pub end_day: Option<EndDay>,
}
