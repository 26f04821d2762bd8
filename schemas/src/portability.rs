//! The port of what is known of numbers: which number a ported number is routed and rated by, and where that is, and whose
//! name a calling number has. What answers is outside: a file, a service with a cache. A source never blocks: the caller is a shard that others wait for, so one that has to
//! ask somebody says [`DipError::Pending`], and tells the shard when it knows. The call waits meanwhile, the shard does not.

use crate::{number::E164, parties::Place};

/// What is known of a number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ported {
    /// Its location routing number; none = not ported.
    pub lrn: Option<E164>,
    pub place: Place,
}

/// Whose a calling number is, as it may be shown: see [`shown_name`]. Empty = nobody said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named(pub String);

/// Characters of a name that are shown: what an enhanced name service has.
pub const MAX_NAME: usize = 35;

/// A name as it may stand between quotes in a SIP header: printable ASCII without `"` and `\\`, blanks at the ends cut.
pub fn shown_name(text: &str) -> Named {
    let plain: String = text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
    Named(plain.trim().chars().take(MAX_NAME).collect::<String>().trim_end().to_owned())
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dip<V = Ported> {
    pub found: V,
    /// It was known from an earlier call: no look-up was made, none is charged.
    pub cached: bool,
    /// How long the look-up took.
    pub took_ms: u32,
}

/// Why there is no answer; the call is rated on the dialled number and says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DipError {
    #[error("no answer within {0} ms")]
    Timeout(u32),
    /// Being asked. Whoever gave its name is told the answer, or that there is none, in about so many milliseconds.
    #[error("being asked, for at most {0} ms")]
    Pending(u32),
    #[error("too many numbers are being asked")]
    Busy,
    /// The source failed so often that it is left alone for a while.
    #[error("the source is left alone after failures")]
    Open,
    /// The caller hung up before there was an answer.
    #[error("the caller gave up")]
    Cancelled,
    #[error("{0}")]
    Failed(String),
}

/// Who waits for answers: a shard, by its index.
pub type Asker = u32;

/// What came of a look-up that was pending.
pub type DipAnswer<V = Ported> = Result<Dip<V>, DipError>;

/// A source of what is known of numbers: their portability, or with [`Named`] their names.
pub trait NumberSource<V = Ported>: Send + Sync {
    /// Never blocks. `asker` is told what becomes of a pending number, once for each number; none waits for nothing: the
    /// number is asked for all the same, so that the next call knows.
    fn lookup(&self, number: &E164, asker: Option<Asker>, now_us: i64) -> DipAnswer<V>;
}

/// What the parameters of a number say (RFC 4694): `npdi` = the look-up was made, `rn` = its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub npdi: bool,
    pub rn: Option<E164>,
}

impl Told {
    /// Of the user part of a URI: `+12125550100;npdi;rn=+12015550000`.
    pub fn of(user: &str) -> Told {
        let mut told = Told { npdi: false, rn: None };
        let (mut local, mut context) = (None, None);
        for param in user.split(';').skip(1) {
            let (name, value) = param.split_once('=').unwrap_or((param, ""));
            match name.to_ascii_lowercase().as_str() {
                "npdi" => told.npdi = true,
                "rn" | "jip" if value.starts_with('+') => told.rn = digits(value).and_then(|d| E164::parse(&d).ok()),
                "rn" | "jip" => local = digits(value),
                "rn-context" => context = digits(value),
                _ => {}
            }
        }
        if told.rn.is_none()
            && let Some(local) = local
        {
            // Without a context a routing number of ten digits is a North American one.
            let country = context.unwrap_or_else(|| if local.len() == 10 { "1".to_owned() } else { String::new() });
            told.rn = E164::parse(&format!("{country}{local}")).ok();
        }
        told
    }
}

/// The digits of a number without its visual separators; None when it is none.
fn digits(text: &str) -> Option<String> {
    let body = text.strip_prefix('+').unwrap_or(text);
    let plain: String = body.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')')).collect();
    (!plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit())).then_some(plain)
}

/// Whether a number is looked up at all: North American, and not toll-free (those have their own query, R-05).
pub fn needs_dip(number: &E164) -> bool {
    let digits = number.digits();
    digits.len() == 11 && digits.starts_with('1') && !is_toll_free(digits)
}

const TOLL_FREE: [&str; 7] = ["800", "833", "844", "855", "866", "877", "888"];

/// Whether E.164 digits are a North American toll-free number.
pub fn is_toll_free(digits: &str) -> bool {
    digits.strip_prefix('1').and_then(|d| d.get(..3)).is_some_and(|area| TOLL_FREE.contains(&area))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_04_parameters_of_a_number_are_read_as_rfc_4694_has_them() {
        for (user, npdi, rn) in [
            ("+12125550100", false, None),
            ("+12125550100;npdi", true, None),
            ("+12125550100;npdi;rn=+12015550000", true, Some("12015550000")),
            ("+12125550100;rn=+1-201-555-0000;npdi", true, Some("12015550000")),
            ("2125550100;npdi=yes;rn=2015550000;rn-context=+1", true, Some("12015550000")),
            ("2125550100;NPDI;RN=2015550000", true, Some("12015550000")),
            ("+12125550100;rn=x", false, None),
            ("+12125550100;phone-context=+1", false, None),
        ] {
            let told = Told::of(user);
            assert_eq!((told.npdi, told.rn.map(|n| n.digits().to_owned()).as_deref()), (npdi, rn), "{user}");
        }
    }

    #[test]
    fn r_29_a_name_is_shown_as_plain_text_that_ends_no_quotes() {
        for (text, want) in [
            ("ACME LTD", "ACME LTD"),
            ("  Acme \r\nEvil: 1 ", "Acme Evil: 1"),
            ("\"><sip:x@y>", "><sip:x@y>"),
            ("a\\", "a"),
            ("J\u{e9}r\u{f4}me", "Jrme"),
            ("\u{1}", ""),
            ("", ""),
            ("0123456789012345678901234567890123 567", "0123456789012345678901234567890123"),
        ] {
            assert_eq!(shown_name(text), Named(want.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn r_04_north_american_numbers_are_looked_up_but_toll_free_ones_never() {
        for (number, needs) in [
            ("12125550100", true),
            ("14165550100", true),
            ("18005550100", false),
            ("18335550100", false),
            ("18885550100", false),
            // 822 and 880 are no toll-free codes in use.
            ("18225550100", true),
            ("442071838750", false),
            ("1212555", false),
        ] {
            assert_eq!(needs_dip(&E164::parse(number).expect("a number")), needs, "{number}");
        }
    }
}
