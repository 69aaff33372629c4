use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::state::{Shared, State};
use crate::verb::Verb;

/// What happens to a request instead of, or around, its answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Fail(Failure),
    LoseReply,
    Hang,
}

#[derive(Clone, Debug)]
struct Rule {
    /// Nothing means any verb, and any resource.
    what: Option<(Verb, String)>,
    left: usize,
    fault: Fault,
}

/// The faults that are on. A number is counted up to tell the open streams.
#[derive(Default)]
pub(crate) struct Faulty {
    rules: Vec<Rule>,
    pub(crate) down: bool,
    pub(crate) silent: bool,
    pub(crate) delay: Duration,
    pub(crate) gone: usize,
    pub(crate) cut_watches: u64,
    pub(crate) end_watches: u64,
    pub(crate) replays: u64,
    pub(crate) cut_logs: u64,
    pub(crate) end_logs: u64,
    pub(crate) released: u64,
}

impl Faulty {
    /// The next fault for a request, which is used up by it.
    pub(crate) fn take(&mut self, verb: Verb, resource: &str) -> Option<Fault> {
        let meant = |rule: &&mut Rule| {
            rule.left > 0 && rule.what.as_ref().is_none_or(|(wanted, name)| *wanted == verb && name == resource)
        };
        let rule = self.rules.iter_mut().find(meant)?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }
}

/// Makes faults. A resource is `pods`, or `pods/log` for a subresource. Rules of one request work in the order in which
/// they were made; each is used up by `n` requests.
pub struct Faults<'a>(pub(crate) &'a Shared);

impl Faults<'_> {
    fn set(&self, change: impl FnOnce(&mut Faulty)) {
        self.0.write(|state| change(&mut state.faulty));
    }

    fn rule(&self, what: Option<(Verb, &str)>, n: usize, fault: Fault) {
        let what = what.map(|(verb, resource)| (verb, resource.to_owned()));
        self.set(|faulty| faulty.rules.push(Rule { what, left: n, fault }));
    }

    /// The next `n` of these requests are answered with a failure and have no effect.
    pub fn fail_next(&self, verb: Verb, resource: &str, n: usize, failure: Failure) {
        self.rule(Some((verb, resource)), n, Fault::Fail(failure));
    }

    /// The next `n` of these requests have their effect, and then the connection is cut without an answer.
    pub fn lose_replies(&self, verb: Verb, resource: &str, n: usize) {
        self.rule(Some((verb, resource)), n, Fault::LoseReply);
    }

    /// The next `n` of these requests wait, without an effect so far, until [`Self::release`].
    pub fn hang(&self, verb: Verb, resource: &str, n: usize) {
        self.rule(Some((verb, resource)), n, Fault::Hang);
    }

    /// All requests that hang go on, and have their effect if their client is still there.
    pub fn release(&self) {
        self.set(|faulty| faulty.released += 1);
    }

    /// The next `n` requests of any kind are answered with 429 and `Retry-After`.
    pub fn throttle(&self, n: usize, retry_after: Duration) {
        let failure = Failure::new(429, "TooManyRequests", "too many requests, please try again later");
        self.rule(None, n, Fault::Fail(failure.retry_after(retry_after)));
    }

    /// Rules that were not used up are gone; switches (silence, delay, down) are off.
    pub fn heal(&self) {
        self.set(|faulty| {
            faulty.rules.clear();
            (faulty.down, faulty.silent, faulty.delay, faulty.gone) = (false, false, Duration::ZERO, 0);
            faulty.released += 1;
        });
    }

    /// Down, the server cuts all connections, and each new one as soon as it is there.
    pub fn down(&self, down: bool) {
        self.0.write(|state| {
            state.faulty.down = down;
            if down {
                cut(state);
            }
        });
    }

    /// Cuts all connections of the moment; new ones are served.
    pub fn cut_connections(&self) {
        self.0.write(cut);
    }

    /// Cuts all open watches in the midst of an event.
    pub fn drop_watches(&self) {
        self.set(|faulty| faulty.cut_watches += 1);
    }

    /// Ends all open watches as a server does whose time is over, but without a bookmark.
    pub fn eof_watches(&self) {
        self.set(|faulty| faulty.end_watches += 1);
    }

    /// Silent, watches stay open and say nothing: no events, no bookmarks, no end. What they missed comes afterwards.
    pub fn silence_watches(&self, silent: bool) {
        self.set(|faulty| faulty.silent = silent);
    }

    /// The next `n` watches answer an `ERROR` event with 410 and end. A 410 as the status of the answer is
    /// [`Self::fail_next`]'s.
    pub fn gone(&self, n: usize) {
        self.set(|faulty| faulty.gone = n);
    }

    /// Watches tell each change this long after it happened.
    pub fn delay_events(&self, delay: Duration) {
        self.set(|faulty| faulty.delay = delay);
    }

    /// Open watches send again all they could have sent since the beginning, deletions included.
    pub fn replay_old_events(&self) {
        self.set(|faulty| faulty.replays += 1);
    }

    /// Lists of which a page was handed out cannot be continued: 410.
    pub fn expire_continue(&self) {
        self.0.write(|state| state.pages.clear());
    }

    /// Cuts all logs that are followed.
    pub fn drop_logs(&self) {
        self.set(|faulty| faulty.cut_logs += 1);
    }

    /// Ends all logs that are followed, though their pods go on, as a log rotation can.
    pub fn eof_logs(&self) {
        self.set(|faulty| faulty.end_logs += 1);
    }
}

fn cut(state: &mut State) {
    state.connections.cancel();
    state.connections = CancellationToken::new();
}
