//! Calls priced many at a time, each as [`rate_call`](super::rate_call) does: their look-ups wait for memory together.

use super::{CallIn, CallerIn, Decks, RatedOut, callers::Who, priced, recent::Recent};
use crate::deck::{Ask, Deck, Lookup, Origination, lookup_all};

/// Calls whose look-ups are kept at a time: what is kept of them fits into the first cache.
const TOGETHER: usize = 128;

/// Prices calls by the decks, on one thread.
pub struct Rater<'d> {
    decks: &'d Decks,
    recent: Recent<'d>,
    asks: Vec<Ask<'d>>,
    found: Vec<Lookup<'d>>,
    /// Which calls of a block have a deck.
    with_deck: Vec<bool>,
    /// Of those that have one, where the decks ask who calls.
    who: Vec<Who<'d>>,
}

impl<'d> Rater<'d> {
    pub fn new(decks: &'d Decks) -> Rater<'d> {
        Rater { decks, recent: Recent::default(), asks: Vec::new(), found: Vec::new(), with_deck: Vec::new(), who: Vec::new() }
    }

    /// Hands each call's price to `each`, in order; `None` when the amount is beyond what money can hold. `callers`: one for
    /// each call where [`Decks::callers`] asks for them, else not looked at.
    pub fn rate<'c>(&mut self, calls: &'c [CallIn<'_>], callers: &[CallerIn<'_>], mut each: impl FnMut(&'c CallIn<'_>, Option<RatedOut<'d>>)) {
        match self.decks.callers() {
            None => calls.chunks(TOGETHER).for_each(|block| {
                self.gather(block, |call, _| call.dialled());
                self.hand_over(block, |_, ask, found, call| priced(ask.deck, found, &Origination::default(), call), &mut each);
            }),
            Some(by) => {
                assert_eq!(calls.len(), callers.len(), "each call comes with its caller");
                calls.chunks(TOGETHER).zip(callers.chunks(TOGETHER)).for_each(|(block, callers)| {
                    self.who.clear();
                    let mut who = std::mem::take(&mut self.who);
                    self.gather(block, |_, at| {
                        let one = by.who(&callers[at]);
                        let dialled = one.dialled();
                        who.push(one);
                        dialled
                    });
                    self.hand_over(block, |at, ask, found, call| by.priced(ask.deck, found, &who[at], call), &mut each);
                    self.who = who;
                });
            }
        }
    }

    /// Looks every call of a block up that has a deck.
    #[inline]
    fn gather(&mut self, block: &[CallIn<'_>], mut number: impl FnMut(&CallIn<'_>, usize) -> crate::deck::Dialled) {
        // Calls of one account come in runs.
        let mut last: Option<(&str, Option<&'d Deck>)> = None;
        self.asks.clear();
        self.found.clear();
        self.with_deck.clear();
        for (at, call) in block.iter().enumerate() {
            let deck = match last {
                Some((account, deck)) if account == call.account => deck,
                _ => self.recent.deck_of(self.decks, call.account),
            };
            last = Some((call.account, deck));
            self.with_deck.push(deck.is_some());
            self.asks.extend(deck.map(|deck| Ask { deck, number: number(call, at), at_us: call.priced_at_us() }));
        }
        lookup_all(&self.asks, &mut self.found);
    }

    /// Prices what was found, by its place among the calls that have a deck.
    #[inline]
    fn hand_over<'c>(
        &self,
        block: &'c [CallIn<'_>],
        price: impl Fn(usize, &Ask<'d>, Lookup<'d>, &CallIn<'_>) -> Option<RatedOut<'d>>,
        each: &mut impl FnMut(&'c CallIn<'_>, Option<RatedOut<'d>>),
    ) {
        let mut found = self.asks.iter().zip(&self.found).enumerate();
        for (call, with_deck) in block.iter().zip(&self.with_deck) {
            let out = match with_deck.then(|| found.next()).flatten() {
                Some((at, (ask, found))) => price(at, ask, *found, call),
                None => Some(RatedOut::without_deck()),
            };
            each(call, out);
        }
    }
}
