//! The bus: what a test holds back, loses, doubles or cuts off, and what chance does.

use std::time::Duration;

use crate::event::{Event, Tap, Then};
use crate::world::{HOP, World};

impl World {
    /// Puts a tap into the stream: it sees every event as it is sent.
    pub fn tap(&mut self, name: &'static str, then: Then, takes: impl Fn(&Event) -> bool + 'static) {
        self.taps.push(Tap { name, takes: Box::new(takes), then });
    }

    /// Takes a tap out again; what it holds stays held.
    pub fn untap(&mut self, name: &str) {
        self.taps.retain(|tap| tap.name != name);
    }

    /// Lets everything go that a tap holds, in order, and takes the tap out.
    pub fn release(&mut self, name: &str) {
        self.untap(name);
        let (out, kept) = std::mem::take(&mut self.held).into_iter().partition(|(of, _)| *of == name);
        self.held = kept;
        let out: Vec<(&str, Event)> = out;
        for (_, event) in out {
            self.note(|| format!("released: {event}"));
            self.push(event, HOP);
        }
    }

    /// How many events a tap holds.
    pub fn holds(&self, name: &str) -> usize {
        self.held.iter().filter(|(of, _)| *of == name).count()
    }

    /// Cuts a host's link to one runner, or to all: messages wait, and arrive when it is mended.
    pub fn cut(&mut self, host: &str, runner: Option<usize>) {
        self.note(|| format!("the link of {host} is cut"));
        self.cut.insert((host.into(), runner));
    }

    /// Mends a link; what waited arrives in order.
    pub fn mend(&mut self, host: &str) {
        self.note(|| format!("the link of {host} is mended"));
        self.cut.retain(|(of, _)| of != host);
        for event in std::mem::take(&mut self.frozen) {
            self.send(event);
        }
    }

    pub(crate) fn is_cut(&self, event: &Event) -> bool {
        let (Some(host), Some(runner)) = (event.host(), event.runner()) else {
            return event.host().is_some_and(|host| self.cut.contains(&(host.to_owned(), None)));
        };
        self.cut.contains(&(host.to_owned(), None)) || self.cut.contains(&(host.to_owned(), Some(runner)))
    }

    pub(crate) fn send(&mut self, event: Event) {
        let taken = self.taps.iter().find(|tap| (tap.takes)(&event)).map(|tap| (tap.name, tap.then));
        match taken {
            Some((_, Then::Lose)) => return self.note(|| format!("lost: {event}")),
            Some((name, Then::Hold)) => {
                self.note(|| format!("held by `{name}`: {event}"));
                return self.held.push((name, event));
            }
            Some((name, Then::Double)) => self.held.push((name, event.clone())),
            None => {}
        }
        if self.is_cut(&event) {
            return self.frozen.push(event);
        }
        let Some(chance) = &mut self.chance else { return self.push(event, HOP) };
        let mut delay = HOP + Duration::from_micros(chance.dice.below(3000));
        if chance.dice.once_in(chance.delays) {
            delay += Duration::from_millis(chance.dice.below(20_000));
        }
        let twice = chance.dice.once_in(chance.doubles);
        let later = delay + Duration::from_millis(chance.dice.below(5_000));
        if chance.dice.once_in(chance.loses) {
            return self.note(|| format!("lost: {event}"));
        }
        if twice {
            self.push(event.clone(), later);
        }
        self.push(event, delay);
    }

    pub(crate) fn push(&mut self, event: Event, delay: Duration) {
        self.last += 1;
        self.queue.insert((self.now + delay, self.last), event);
    }
}
