//! What is known of a call's numbers at admission. Portability: what a trusted trunk already knows, else one look-up; toll-free numbers never. A call whose
//! number is being asked for may wait for the answer; one without an answer goes by the dialled number, and says so. The caller's name
//! asked for at the same time.

use std::sync::Arc;

use tollgate_schemas::{
    number::E164,
    parties::{CallerValidity, Place},
    portability::{Asker, DipAnswer, DipError, Named, NumberSource, Ported, Told, needs_dip},
    v1::CallFacts,
};

use super::{Shown, TrunkView};

/// The source, where there is one.
#[derive(Clone)]
pub struct Source<V = Ported>(Option<Arc<dyn NumberSource<V>>>);

impl<V> Default for Source<V> {
    fn default() -> Source<V> {
        Source(None)
    }
}

impl<V> Source<V> {
    pub fn new(source: Arc<dyn NumberSource<V>>) -> Source<V> {
        Source(Some(source))
    }
}

impl<V> std::fmt::Debug for Source<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Source" } else { "no source" })
    }
}

/// What came of look-ups a call waited for; None: it did not wait for that one.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    pub number: Option<DipAnswer>,
    pub name: Option<DipAnswer<Named>>,
}

impl Answers {
    /// The caller gave up meanwhile.
    pub fn cancelled(&self) -> bool {
        matches!(self.number, Some(Err(DipError::Cancelled))) || matches!(self.name, Some(Err(DipError::Cancelled)))
    }
}

/// How a decision comes by what is known of its numbers.
#[derive(Debug, Clone, Copy)]
pub enum Lookup<'a> {
    /// Asks the sources; where that takes time the call goes by the dialled number, and without a name.
    AtOnce,
    /// Asks the sources, and is decided again, with [`Lookup::Answer`], where that takes time.
    Wait(Asker),
    /// What came of it. Calls per second were judged when it was asked.
    Answer(&'a Answers, u32),
}

impl Lookup<'_> {
    pub(super) fn is_again(&self) -> bool {
        matches!(self, Lookup::Answer(..))
    }

    fn ask<V: Clone>(&self, source: &dyn NumberSource<V>, answer: impl Fn(&Answers) -> Option<&DipAnswer<V>>, number: &E164, now_us: i64) -> (DipAnswer<V>, Option<u32>) {
        match self {
            Lookup::Answer(answers, waited_ms) => match answer(answers) {
                Some(answer) => (answer.clone(), Some(*waited_ms)),
                // It waited for the other one: this one was known at once, and still is.
                None => (source.lookup(number, None, now_us), None),
            },
            Lookup::Wait(asker) => (source.lookup(number, Some(*asker), now_us), None),
            Lookup::AtOnce => (source.lookup(number, None, now_us), None),
        }
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
    let (answer, waited_ms) = lookup.ask(&**source, |answers| answers.number.as_ref(), number, now_us);
    facts.lrn_dip_ms = waited_ms.unwrap_or(0);
    match answer {
        Ok(dip) => {
            if dip.cached { "cache" } else { "dip" }.clone_into(&mut facts.lrn_source);
            if waited_ms.is_none() {
                facts.lrn_dip_ms = dip.took_ms;
            }
            facts.lrn = dip.found.lrn.map(|n| n.digits().to_owned()).unwrap_or_default();
            let place = (dip.found.place != Place::default()).then(|| Box::new(dip.found.place));
            Ok(Known { lrn: dip.found.lrn, place })
        }
        Err(DipError::Pending(within_ms)) if matches!(lookup, Lookup::Wait(_)) => Err(within_ms),
        Err(_) => {
            "fallback".clone_into(&mut facts.lrn_source);
            Ok(Known::default())
        }
    }
}

/// the caller's name, where the trunk asks for names and the caller neither sent one nor hides; written into the facts how it
/// is known, as [`find`] does. Only of valid North American numbers: nobody else's are listed.
pub(super) fn name(source: &Source<Named>, lookup: Lookup<'_>, trunk: &TrunkView, shown: Shown, caller: (CallerValidity, Option<&E164>), now_us: i64, facts: &mut CallFacts) -> Result<String, u32> {
    let Some(source) = source.0.as_ref().filter(|_| trunk.cnam) else { return Ok(String::new()) };
    let number = match (shown, caller) {
        (Shown::Name, _) => {
            "sent".clone_into(&mut facts.cnam_source);
            return Ok(String::new());
        }
        (Shown::Number, (CallerValidity::Valid, Some(number))) if needs_dip(number) => number,
        _ => {
            "none".clone_into(&mut facts.cnam_source);
            return Ok(String::new());
        }
    };
    let (answer, waited_ms) = lookup.ask(&**source, |answers| answers.name.as_ref(), number, now_us);
    facts.cnam_dip_ms = waited_ms.unwrap_or(0);
    match answer {
        Ok(dip) => {
            if dip.cached { "cache" } else { "dip" }.clone_into(&mut facts.cnam_source);
            if waited_ms.is_none() {
                facts.cnam_dip_ms = dip.took_ms;
            }
            Ok(dip.found.0)
        }
        Err(DipError::Pending(within_ms)) if matches!(lookup, Lookup::Wait(_)) => Err(within_ms),
        Err(_) => {
            "fallback".clone_into(&mut facts.cnam_source);
            Ok(String::new())
        }
    }
}
