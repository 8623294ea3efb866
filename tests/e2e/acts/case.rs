//! One act of one driver, and the four things that are done to it.

use std::any::Any;
use std::time::{Duration, Instant};

use schemas::{Action, Address, Answer, Code, Effect, Key, Reply};
use serde_json::Value;

use super::desk::{Desk, WITHIN};

/// Ends the hold when it is dropped.
pub(crate) type Held = Box<dyn Any>;
type Do<T> = Box<dyn Fn() -> T>;

/// An act and what an outsider sees of it.
pub(crate) struct Case {
    pub(crate) at: Address,
    pub(crate) action: Action,
    /// Its arguments, but for resource and site.
    pub(crate) args: Do<Value>,
    /// Makes the world such that the act has something to do: by hand, without Pointsman.
    pub(crate) before: Do<()>,
    /// Counts the effect: more by one after the act, however often it was asked for.
    pub(crate) effects: Do<u64>,
    /// Where it is held up in its middle.
    pub(crate) holds: Vec<Hold>,
    /// A mark is made anew by each key: there is no state to find, nothing to undo.
    pub(crate) anew: bool,
}

/// A place in the middle of an act at which it can be made to stay.
pub(crate) struct Hold {
    pub(crate) name: &'static str,
    pub(crate) take: Do<Held>,
    /// Whether the act has come there.
    pub(crate) reached: Do<bool>,
    /// What is settled when the service was killed there.
    pub(crate) settles: Settles,
}

/// What becomes of a key whose service was killed in the middle of its act.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settles {
    /// What it had begun was ended: `failed` while the hold still lasts.
    NotDone,
    /// The same, but what is left to do comes by itself when the hold ends.
    HalfDone,
    /// Its effect was there: `applied` while the hold still lasts.
    Applied,
    /// Nobody can tell before the hold ends; then it is `applied`.
    AppliedLater,
}

impl Case {
    pub(crate) fn new(at: Address, action: Action) -> Case {
        Case {
            at,
            action,
            args: Box::new(|| Value::Object(Default::default())),
            before: Box::new(|| ()),
            effects: Box::new(|| 0),
            holds: Vec::new(),
            anew: false,
        }
    }

    pub(crate) fn args(mut self, args: impl Fn() -> Value + 'static) -> Case {
        self.args = Box::new(args);
        self
    }

    pub(crate) fn before(mut self, before: impl Fn() + 'static) -> Case {
        self.before = Box::new(before);
        self
    }

    pub(crate) fn effects(mut self, effects: impl Fn() -> u64 + 'static) -> Case {
        self.effects = Box::new(effects);
        self
    }

    pub(crate) fn anew(mut self) -> Case {
        self.anew = true;
        self
    }

    pub(crate) fn hold<H: Any>(
        mut self,
        name: &'static str,
        settles: Settles,
        take: impl Fn() -> H + 'static,
        reached: impl Fn() -> bool + 'static,
    ) -> Case {
        let take: Do<Held> = Box::new(move || Box::new(take()));
        self.holds.push(Hold { name, take, reached: Box::new(reached), settles });
        self
    }

    /// All of it, at each of its holds.
    pub(crate) fn run(&self, desk: &mut Desk) {
        assert!(!self.holds.is_empty(), "{} is never held up", self.action);
        for hold in &self.holds {
            let mut act =
                Act { case: self, desk, what: format!("{} at {}: {}", self.action, self.at, hold.name) };
            let start = Instant::now();
            act.twice_at_once(hold);
            act.killed(hold);
            if !self.anew {
                act.undone();
            }
            println!("{}: {:.1} s", act.what, start.elapsed().as_secs_f64());
        }
    }
}

struct Act<'a> {
    case: &'a Case,
    desk: &'a mut Desk,
    what: String,
}

impl Act<'_> {
    /// A key that nobody used yet.
    fn key(&self, name: &str) -> Key {
        self.desk.key(&format!("{name}-{}", uuid::Uuid::new_v4()))
    }

    fn asked(&self, key: &Key, attempt: u32, args: &Value) -> Reply {
        self.desk.begin(&self.case.at, self.case.action, args, key, attempt).answer()
    }

    #[track_caller]
    fn says(&self, reply: &Reply, wanted: Answer, code: Option<Code>) {
        let right = reply.answer == wanted && reply.code() == code;
        assert!(right, "{}: {reply:#?}, not {wanted:?} {code:?}\n{}", self.what, self.desk.logs());
    }

    /// Done by the act, or, where a mark came by itself, found done.
    #[track_caller]
    fn is_done(&self, reply: &Reply) {
        let done = matches!(reply.answer, Answer::Applied | Answer::AlreadyApplied);
        assert!(done, "{}: {reply:#?}\n{}", self.what, self.desk.logs());
    }

    #[track_caller]
    fn effects(&self, wanted: u64) {
        let found = (self.case.effects)();
        assert_eq!(found, wanted, "{}: the effects\n{}", self.what, self.desk.logs());
    }

    #[track_caller]
    fn until(&self, what: &str, ready: impl Fn() -> bool) {
        let end = Instant::now() + WITHIN;
        while !ready() {
            assert!(Instant::now() < end, "{}: {what}\n{}", self.what, self.desk.logs());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asked while it is being done, by the same key and by another; then again when it is done, by each.
    fn twice_at_once(&mut self, hold: &Hold) {
        (self.case.before)();
        let (key, other, before) = (self.key("twice"), self.key("other"), (self.case.effects)());
        let held = (hold.take)();
        let args = (self.case.args)();
        let first = self.desk.begin(&self.case.at, self.case.action, &args, &key, 1);
        self.until("it is in its middle", &hold.reached);
        self.says(&self.asked(&key, 1, &args), Answer::InProgress, None);
        self.says(&self.asked(&other, 1, &args), Answer::Refused, Some(Code::Busy));
        drop(held);
        let first = first.answer();
        // An opening whose yes has become too old while it was held up is not done, and asked for again.
        let mut attempt = 1;
        let mut reply = first;
        while self.case.action.effect() == Effect::Opens && reply.answer == Answer::Failed && attempt < 5 {
            self.effects(before);
            attempt += 1;
            reply = self.asked(&key, attempt, &args);
        }
        self.says(&reply, Answer::Applied, None);
        self.effects(before + 1);
        let again = self.asked(&key, attempt, &args);
        self.says(&again, Answer::Applied, None);
        assert_eq!(again.output, reply.output, "{}: the ledger's answer", self.what);
        if self.case.anew {
            self.says(&self.asked(&other, 2, &args), Answer::Applied, None);
            return self.effects(before + 2);
        }
        self.says(&self.asked(&key, attempt + 1, &args), Answer::AlreadyApplied, None);
        self.says(&self.asked(&other, 2, &args), Answer::AlreadyApplied, None);
        self.effects(before + 1);
    }

    /// The service dies in the middle and comes back: settled by `outcome`, sent again, one lasting effect.
    fn killed(&mut self, hold: &Hold) {
        (self.case.before)();
        let (key, before) = (self.key("killed"), (self.case.effects)());
        let held = (hold.take)();
        let args = (self.case.args)();
        let first = self.desk.begin(&self.case.at, self.case.action, &args, &key, 1);
        self.until("it is in its middle", &hold.reached);
        self.desk.kill9(self.case.at.site.as_str());
        first.forget();
        self.desk.start_again(&self.case.at);
        let outcome = |wait| self.desk.outcome(&self.case.at, &key, 1, wait);
        match hold.settles {
            Settles::NotDone => {
                self.says(&self.settled(outcome), Answer::Failed, Some(Code::Failed));
                drop(held);
                // What the killed service had sent does not come after this.
                self.effects(before);
                self.says(&self.asked(&key, 2, &args), Answer::Applied, None);
            }
            Settles::HalfDone => {
                self.says(&self.settled(outcome), Answer::Failed, Some(Code::Failed));
                drop(held);
                self.is_done(&self.asked(&key, 2, &args));
            }
            Settles::Applied => {
                self.says(&self.settled(outcome), Answer::Applied, None);
                drop(held);
                if !self.case.anew {
                    self.says(&self.asked(&key, 2, &args), Answer::AlreadyApplied, None);
                }
            }
            Settles::AppliedLater => {
                self.says(&outcome(Duration::from_millis(300)), Answer::InProgress, None);
                drop(held);
                self.says(&self.settled(outcome), Answer::Applied, None);
                self.says(&self.asked(&key, 2, &args), Answer::AlreadyApplied, None);
            }
        }
        self.effects(before + 1);
        if !self.case.anew {
            self.says(&self.asked(&self.key("after"), 1, &args), Answer::AlreadyApplied, None);
            self.effects(before + 1);
        }
    }

    /// Asks until it is settled.
    fn settled(&self, outcome: impl Fn(Duration) -> Reply) -> Reply {
        let end = Instant::now() + WITHIN;
        loop {
            let reply = outcome(Duration::from_secs(5));
            if reply.answer != Answer::InProgress {
                return reply;
            }
            assert!(Instant::now() < end, "{}: {reply:#?}\n{}", self.what, self.desk.logs());
        }
    }

    /// Somebody undoes it by hand: its key only says so, and a new one does it again.
    fn undone(&mut self) {
        (self.case.before)();
        let (key, args) = (self.key("undone"), (self.case.args)());
        self.is_done(&self.asked(&key, 1, &args));
        (self.case.before)();
        let before = (self.case.effects)();
        self.says(&self.asked(&key, 2, &args), Answer::Failed, Some(Code::Undone));
        self.effects(before);
        let args = (self.case.args)();
        self.is_done(&self.asked(&self.key("anew"), 1, &args));
        self.effects(before + 1);
    }
}
