//! The rules of a proxy: which of them act on a request. Pure, but for the dice, which are seeded.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::rule::{Fault, Frequency, Rule};

/// Names a rule of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(u64);

/// What a proxy did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Requests received, upgrades included.
    pub requests: u64,
    /// Requests that reached the server, upgrades included.
    pub forwarded: u64,
    /// Websockets opened.
    pub websockets: u64,
    /// Websockets open now.
    pub open_websockets: u64,
    acted: BTreeMap<RuleId, u64>,
}

impl Counts {
    /// How often a rule acted.
    pub fn of(&self, rule: RuleId) -> u64 {
        self.acted.get(&rule).copied().unwrap_or(0)
    }
}

/// What happens to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// First it waits.
    pub(super) delay: Duration,
    /// Then this goes wrong.
    pub(super) fault: Option<Fault>,
}

/// The rules, the dice and the counts.
pub(super) struct RuleBook {
    rules: Vec<(RuleId, Rule)>,
    next: u64,
    dice: StdRng,
    pub(super) counts: Counts,
}

impl RuleBook {
    pub(super) fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), next: 0, dice: StdRng::seed_from_u64(seed), counts: Counts::default() }
    }

    pub(super) fn add(&mut self, rule: Rule) -> RuleId {
        let id = RuleId(self.next);
        self.next += 1;
        self.rules.push((id, rule));
        id
    }

    pub(super) fn lift(&mut self, rule: RuleId) {
        self.rules.retain(|(id, _)| *id != rule);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Decides about a request and counts what acts on it.
    pub(super) fn plan(&mut self, method: &Method, path: &str, is_upgrade: bool) -> Plan {
        self.counts.requests += 1;
        let mut plan = Plan { delay: Duration::ZERO, fault: None };
        for (id, rule) in &mut self.rules {
            let applies = rule.method.as_ref().is_none_or(|wanted| wanted == method)
                && (is_upgrade || rule.fault != Fault::RefuseUpgrade)
                && rule.path.matches(path)
                && strikes(&mut rule.frequency, &mut self.dice);
            if !applies {
                continue;
            }
            *self.counts.acted.entry(*id).or_default() += 1;
            if let Fault::Delay(delay) = rule.fault {
                plan.delay += delay;
            } else {
                plan.fault = Some(rule.fault.clone());
                break;
            }
        }
        plan
    }
}

fn strikes(frequency: &mut Frequency, dice: &mut StdRng) -> bool {
    match frequency {
        Frequency::Always => true,
        Frequency::Next(0) => false,
        Frequency::Next(left) => {
            *left -= 1;
            true
        }
        Frequency::Chance(probability) => dice.random_bool(probability.clamp(0.0, 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(book: &mut RuleBook, path: &str, requests: usize) -> Vec<bool> {
        (0..requests).map(|_| book.plan(&Method::GET, path, false).fault.is_some()).collect()
    }

    #[test]
    fn a_counted_rule_acts_so_many_times_and_then_rests() {
        let mut book = RuleBook::new(0);
        let id = book.add(Rule::on("/api/health", Fault::Reset).times(2));
        assert_eq!(faults(&mut book, "/api/ready", 1), [false]);
        assert_eq!(faults(&mut book, "/api/health", 3), [true, true, false]);
        assert_eq!(book.counts.of(id), 2);
    }

    #[test]
    fn the_same_seed_throws_the_same_dice() {
        let run = |seed| {
            let mut book = RuleBook::new(seed);
            book.add(Rule::on("**", Fault::Reset).chance(0.5));
            faults(&mut book, "/x", 64)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert!(run(7).contains(&true) && run(7).contains(&false));
    }

    #[test]
    fn delays_add_up_before_the_first_fault() {
        let mut book = RuleBook::new(0);
        book.add(Rule::on("**", Fault::Delay(Duration::from_secs(1))));
        book.add(Rule::on("**", Fault::Delay(Duration::from_secs(2))));
        book.add(Rule::on("**", Fault::LoseReply).method(Method::POST));
        let plan = book.plan(&Method::POST, "/x", false);
        assert_eq!(plan, Plan { delay: Duration::from_secs(3), fault: Some(Fault::LoseReply) });
        assert_eq!(book.plan(&Method::GET, "/x", false).fault, None);
    }

    #[test]
    fn only_upgrades_are_refused_as_such() {
        let mut book = RuleBook::new(0);
        book.add(Rule::on("/api/events/out", Fault::RefuseUpgrade));
        assert_eq!(book.plan(&Method::GET, "/api/events/out", false).fault, None);
        assert_eq!(book.plan(&Method::GET, "/api/events/out", true).fault, Some(Fault::RefuseUpgrade));
    }
}
