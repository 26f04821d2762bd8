//! Portability at admission: what a trusted trunk already knows, else one look-up; toll-free numbers never. A call whose
//! number is being asked for may wait for the answer; one without an answer goes by the dialled number, and says so.

use std::sync::Arc;

use tollgate_schemas::{
    number::E164,
    parties::Place,
    portability::{Asker, DipAnswer, DipError, Portability, Told, needs_dip},
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

/// How a decision comes by what is known of its number.
#[derive(Debug, Clone, Copy)]
pub enum Lookup<'a> {
    /// Asks the source; where that takes time the call goes by the dialled number.
    AtOnce,
    /// Asks the source, and is decided again, with [`Lookup::Answer`], where that takes time.
    Wait(Asker),
    /// What came of it. Calls per second were judged when it was asked.
    Answer(&'a DipAnswer, u32),
}

impl Lookup<'_> {
    pub(super) fn is_again(&self) -> bool {
        matches!(self, Lookup::Answer(..))
    }
}

/// What is known of the called number.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub lrn: Option<E164>,
    pub place: Option<Box<Place>>,
}

/// Finds what the called number is rated and routed by, and writes into the facts how it is known; or says for how many
/// milliseconds at most the call waits for it.
pub(super) fn find(source: &Source, lookup: Lookup<'_>, trunk: &TrunkView, dialled: &str, number: &E164, now_us: i64, facts: &mut CallFacts) -> Result<Known, u32> {
    let told = if trunk.trust_npdi { Told::of(dialled) } else { Told { npdi: false, rn: None } };
    if told.npdi || told.rn.is_some() {
        "trusted".clone_into(&mut facts.lrn_source);
        facts.lrn = told.rn.map(|n| n.digits().to_owned()).unwrap_or_default();
        return Ok(Known { lrn: told.rn, place: None });
    }
    let Some(source) = &source.0 else { return Ok(Known::default()) };
    if !needs_dip(number) {
        "none".clone_into(&mut facts.lrn_source);
        return Ok(Known::default());
    }
    let answer = match lookup {
        Lookup::AtOnce => source.lookup(number, None, now_us),
        Lookup::Wait(asker) => source.lookup(number, Some(asker), now_us),
        Lookup::Answer(answer, waited_ms) => {
            facts.lrn_dip_ms = waited_ms;
            answer.clone()
        }
    };
    match answer {
        Ok(dip) => {
            if dip.cached { "cache" } else { "dip" }.clone_into(&mut facts.lrn_source);
            if !lookup.is_again() {
                facts.lrn_dip_ms = dip.took_ms;
            }
            facts.lrn = dip.ported.lrn.map(|n| n.digits().to_owned()).unwrap_or_default();
            let place = (dip.ported.place != Place::default()).then(|| Box::new(dip.ported.place));
            Ok(Known { lrn: dip.ported.lrn, place })
        }
        Err(DipError::Pending(within_ms)) if matches!(lookup, Lookup::Wait(_)) => Err(within_ms),
        Err(_) => {
            "fallback".clone_into(&mut facts.lrn_source);
            Ok(Known::default())
        }
    }
}
