//! `dns.*`: an update of BIND, the operator's scripts, a client host, and its hosts file.

use std::path::PathBuf;
use std::rc::Rc;

use lab::bind::{Bind, BindOptions, Record};
use schemas::{Action, Address, Service};
use serde_json::json;

use super::case::{Case, Settles};
use super::desk::{Desk, UNCLAIMED, address};
use super::scripts::Gate;
use super::wire::{Keep, Wire};

const NAME: &str = "cfg-a.example.test";
const TO: [(&str, &str); 2] = [("main", "10.1.0.3"), ("secondary", "10.2.0.3")];

fn record(resource: &str) -> Address {
    address("witness", Service::Dns, resource)
}

/// A server whose name points at main, and the wire by which the service reaches it.
struct Scene {
    bind: Bind,
    wire: Wire,
}

impl Scene {
    fn start() -> Rc<Scene> {
        let records = vec![Record { name: NAME.into(), ttl: 5, address: TO[0].1.parse().unwrap() }];
        let bind = Bind::start(BindOptions { records, ..BindOptions::default() }).unwrap();
        let wire = Wire::to(bind.address());
        Rc::new(Scene { bind, wire })
    }

    /// Points it at main again, as somebody with `nsupdate` does.
    fn home(&self) {
        self.bind.update(&format!("update delete {NAME} A\nupdate add {NAME} 5 A {}", TO[0].1)).unwrap();
    }

    fn serial(&self) -> u64 {
        u64::from(self.bind.serial().unwrap())
    }

    /// The file of a host that updates it through the wire.
    fn updates(&self, desk: &Desk) {
        let (key, secret) = (self.bind.key_name(), self.bind.key_secret_base64());
        desk.write(
            "tsig.key",
            &format!("key \"{key}\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\n"),
        );
        desk.host_file(
            "witness",
            &format!(
                "dns:\n  name: {{ driver: rfc2136, name: {NAME}, update: [\"{}\"], tsig: \"file:tsig.key\", \
                 ttl: 5s, {}, verify: {{ witness: [\"{}\"] }} }}\n",
                self.wire.address(),
                self.addresses(),
                self.bind.address()
            ),
        );
    }

    fn addresses(&self) -> String {
        format!("addresses: {{ main: {}, secondary: {} }}", TO[0].1, TO[1].1)
    }
}

/// A server that has an update in hand and does nothing with it until it is thawed.
struct FrozenServer(Rc<Scene>);

impl Drop for FrozenServer {
    fn drop(&mut self) {
        self.0.bind.thaw();
    }
}

#[test]
fn names_by_updates_of_bind() {
    let (mut desk, scene) = (Desk::start(), Scene::start());
    scene.updates(&desk);
    desk.serve("witness", &[record("name")]);
    let (home, counted) = (scene.clone(), scene.clone());
    let (before, kept, after, answered) = (scene.clone(), scene.clone(), scene.clone(), scene.clone());
    Case::new(record("name"), Action::Point)
        .args(|| json!({ "name": NAME, "to": "secondary" }))
        .before(move || home.home())
        .effects(move || counted.serial())
        .hold(
            "the update is on its way",
            Settles::NotDone,
            move || before.wire.keep(Keep::Update),
            move || kept.wire.kept(),
        )
        .hold(
            "the update is done and its answer is on its way",
            Settles::Applied,
            move || after.wire.keep(Keep::Answer),
            move || answered.wire.kept(),
        )
        .run(&mut desk);
}

/// The server was frozen with the update in its hands, and the service dies: the one that comes back waits
/// until the server has done what it had.
#[test]
fn a_name_is_not_settled_before_a_frozen_server_has_woken() {
    let (mut desk, scene) = (Desk::start(), Scene::start());
    scene.updates(&desk);
    desk.serve("witness", &[record("name")]);
    let (home, counted, frozen, has) = (scene.clone(), scene.clone(), scene.clone(), scene.clone());
    Case::new(record("name"), Action::Point)
        .args(|| json!({ "name": NAME, "to": "secondary" }))
        .before(move || home.home())
        .effects(move || counted.serial())
        .hold(
            "a frozen server has it",
            Settles::AppliedLater,
            move || {
                let kept = frozen.wire.keep(Keep::Update);
                (kept, FrozenServer(frozen.clone()))
            },
            move || {
                // The questions before it were answered; now it falls asleep and is given the update.
                let kept = has.wire.kept();
                if kept {
                    has.bind.freeze().unwrap();
                    has.wire.give();
                }
                kept
            },
        )
        .run(&mut desk);
}

#[test]
fn names_by_the_operators_scripts() {
    let (mut desk, scene) = (Desk::start(), Scene::start());
    let gate = Gate::new(&desk);
    for (site, to) in TO {
        let update = format!(
            "nsupdate -y hmac-sha256:{}:{} <<END\nserver {} {}\nzone {}\nupdate delete {NAME} A\n\
             update add {NAME} 5 A {to}\nsend\nEND",
            scene.bind.key_name(),
            scene.bind.key_secret_base64(),
            scene.bind.address().ip(),
            scene.bind.port(),
            scene.bind.zone(),
        );
        desk.script(&format!("to-{site}"), &gate.around(&update));
    }
    desk.host_file(
        "witness",
        &format!(
            "dns:\n  name: {{ driver: exec, name: {NAME}, point: {{ main: to-main, secondary: to-secondary }}, {}, \
             verify: {{ witness: [\"{}\"] }} }}\n",
            scene.addresses(),
            scene.bind.address()
        ),
    );
    desk.serve("witness", &[record("name")]);
    let (home, counted) = (scene.clone(), scene.clone());
    let case = Case::new(record("name"), Action::Point)
        .args(|| json!({ "name": NAME, "to": "secondary" }))
        .before(move || home.home())
        .effects(move || counted.serial());
    gate.holds(case, Settles::Applied).run(&mut desk);
}

#[test]
fn a_client_host_that_follows() {
    let mut desk = Desk::start();
    let gate = Gate::new(&desk);
    desk.script("flush", &gate.around("cp authority cached"));
    desk.script("resolve", "cat cached");
    desk.write("authority", TO[1].1);
    desk.host_file(
        "main",
        &format!(
            "dns:\n  {UNCLAIMED}: {{ client: exec, flush: flush, resolve: resolve, \
             names: {{ {NAME}: {{ main: {}, secondary: {} }} }} }}\n",
            TO[0].1, TO[1].1
        ),
    );
    let at = address("main", Service::Dns, UNCLAIMED);
    desk.serve("main", std::slice::from_ref(&at));
    let cached: PathBuf = desk.path("cached");
    let counted = cached.clone();
    let case = Case::new(at, Action::Follow)
        .args(|| json!({ "to": "secondary" }))
        .before(move || std::fs::write(&cached, TO[0].1).unwrap())
        .effects(move || u64::from(std::fs::read_to_string(&counted).unwrap().trim() == TO[1].1));
    gate.holds(case, Settles::Applied).run(&mut desk);
}

/// The hosts file counts before what DNS says, which is main all the time.
#[test]
fn a_client_host_whose_hosts_file_is_pushed_and_taken_away() {
    let mut desk = Desk::start();
    let gate = Gate::new(&desk);
    desk.script("flush", "exit 0");
    desk.script("resolve", "if test -e hosts; then cut -d ' ' -f 1 hosts; else cat dns; fi");
    desk.script("push", &gate.around("printf '%s\\n' \"$@\" >hosts"));
    desk.script("unpush", &gate.around("rm -f hosts"));
    desk.write("dns", TO[0].1);
    desk.host_file(
        "main",
        &format!(
            "dns:\n  {UNCLAIMED}: {{ client: exec, flush: flush, resolve: resolve, push: push, unpush: unpush, \
             names: {{ {NAME}: {{ main: {}, secondary: {} }} }} }}\n",
            TO[0].1, TO[1].1
        ),
    );
    let at = address("main", Service::Dns, UNCLAIMED);
    desk.serve("main", std::slice::from_ref(&at));
    let (hosts, note) = (desk.path("hosts"), desk.path(&format!("state-main/dns.{UNCLAIMED}.pushed")));
    let (before, seen) = (hosts.clone(), hosts.clone());
    let case = Case::new(at.clone(), Action::Push)
        .args(|| json!({ "to": "secondary" }))
        .before(move || drop(std::fs::remove_file(&before)))
        .effects(move || u64::from(seen.exists()));
    gate.holds(case, Settles::Applied).run(&mut desk);

    let seen = hosts.clone();
    let case = Case::new(at, Action::Unpush)
        .args(|| json!({ "to": "secondary" }))
        .before(move || {
            std::fs::write(&hosts, format!("{} {NAME}\n", TO[1].1)).unwrap();
            std::fs::write(&note, "secondary\n").unwrap();
        })
        .effects(move || u64::from(!seen.exists()));
    // Its service has not noted yet that nothing is left.
    gate.holds(case, Settles::HalfDone).run(&mut desk);
}
