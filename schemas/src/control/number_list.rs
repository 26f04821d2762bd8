//! Lists of called numbers from a subscription: test numbers of revenue-share ranges, and numbers known for abuse.

use serde::{Deserialize, Serialize};

/// What the numbers of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listed {
    /// Called to see whether a range pays, before it is called in earnest (F-01).
    Test,
    /// Known for abuse.
    Hot,
}

impl Listed {
    pub fn name(self) -> &'static str {
        match self {
            Listed::Test => "test",
            Listed::Hot => "hot",
        }
    }
}

/// What a trunk does with calls to listed numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListedAction {
    /// The call is high risk, says which list it is on, and passes if high-risk calls do.
    Mark,
    Reject,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberList {
    pub list: Listed,
    /// Who publishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub numbers: Vec<ListedNumber>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedNumber {
    /// E.164 digits, a leading + is dropped: the whole number, or with `*` at the end whatever starts with it.
    pub number: String,
    /// Last number of a range that begins with `number`, of as many digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// First day (UTC); none = since ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// First day without; none = until further notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}
