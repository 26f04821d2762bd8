//! Portability at admission: what a trusted trunk already knows, else one look-up; toll-free numbers never. A look-up
//! without an answer leaves the dialled number in force, and the call says so.

use std::sync::Arc;

use tollgate_schemas::{
    number::E164,
    parties::Place,
    portability::{Portability, needs_dip},
    v1::CallFacts,
};

use super::TrunkView;

/// The source, where there is one.
#[derive(Clone, Default)]
pub struct Source(Option<Arc<dyn Portability>>);

impl Source {
    pub fn new(source: Arc<dyn Portability>) -> Source {
        Source(Some(source))
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Source" } else { "no source" })
    }
}

/// What is known of the called number.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub lrn: Option<E164>,
    pub place: Option<Box<Place>>,
}

/// What the parameters of a number say (RFC 4694): `npdi` = the look-up was made, `rn` = its result.
pub(super) struct Told {
    npdi: bool,
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

/// Finds what the called number is rated and routed by, and writes into the facts how it is known.
pub(super) fn find(source: &Source, trunk: &TrunkView, dialled: &str, number: &E164, now_us: i64, facts: &mut CallFacts) -> Known {
    let told = if trunk.trust_npdi { Told::of(dialled) } else { Told { npdi: false, rn: None } };
    if told.npdi || told.rn.is_some() {
        "trusted".clone_into(&mut facts.lrn_source);
        facts.lrn = told.rn.map(|n| n.digits().to_owned()).unwrap_or_default();
        return Known { lrn: told.rn, place: None };
    }
    let Some(source) = &source.0 else { return Known::default() };
    if !needs_dip(number) {
        "none".clone_into(&mut facts.lrn_source);
        return Known::default();
    }
    match source.lookup(number, now_us) {
        Ok(dip) => {
            if dip.cached { "cache" } else { "dip" }.clone_into(&mut facts.lrn_source);
            facts.lrn_dip_ms = dip.took_ms;
            facts.lrn = dip.ported.lrn.map(|n| n.digits().to_owned()).unwrap_or_default();
            let place = (dip.ported.place != Place::default()).then(|| Box::new(dip.ported.place));
            Known { lrn: dip.ported.lrn, place }
        }
        Err(_) => {
            "fallback".clone_into(&mut facts.lrn_source);
            Known::default()
        }
    }
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
}
