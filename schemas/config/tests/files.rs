//! The files as people write them: what is read, what is refused, and where the error stands.
#![expect(clippy::unwrap_used, reason = "tests")]

use config::init::{self, HostKind};
use config::{Kind, RefusedOr, Span, TriggerMode, json_schema, load_groups, parse_group, parse_host};
use document::Document;
use schemas::{Service, SiteId};
use serde_json::{Value, json};

/// The example of the operator's page.
const CFG: &str = include_str!("cfg.yaml");

fn check(text: &str, defaults: Option<&str>) -> String {
    match parse_group(text, "g.yaml", defaults.map(|text| (text, "defaults.yaml"))) {
        Ok(group) => format!("ok: {}", group.name),
        Err(found) => found.to_string(),
    }
}

#[test]
fn the_example_is_what_workflows_see() {
    let group = parse_group(CFG, "groups/cfg.yaml", None).unwrap();
    assert_eq!(
        group.databases["config".parse::<schemas::ResourceId>().as_ref().unwrap()].kind,
        Kind::OneLive
    );
    let input = group.to_workflow_input();
    assert_eq!(
        input,
        json!({
            "group": "cfg", "order": 10, "sites": ["main", "secondary"],
            "databases": {
                "config": { "kind": "one-live", "replication": { "main->secondary": "csp", "secondary->main": "css" } },
                "log": { "kind": "both-live", "replication": { "main->secondary": "msp", "secondary->main": "mss" } },
            },
            "live_only": ["scs-msg", "cs-primary", "cs-backup", "master-scs"],
            "everywhere": [
                { "process": "site-scs" }, { "process": "log-msg", "database": "log@own" },
                { "process": "proxy-a" }, { "process": "proxy-b" },
            ],
            "names": { "max_ttl": "PT1M", "records": {
                "cs-primary": { "name": "cfg-a.example.net", "at": "witness" },
                "cs-backup": { "name": "cfg-b.example.net", "at": "witness" },
            } },
            "clients": {
                "hosts": [{ "host": "s1app", "site": "main" }, { "host": "s2app", "site": "secondary" }],
                "caches": [{ "host": "s1dns", "site": "main" }, { "host": "s2dns", "site": "secondary" }],
                "stale": "restart", "done_when": 90, "within": "PT3M",
            },
            "trigger": {
                "mode": "observe", "run": "failover", "misses": 3, "hold_down": "PT2M", "max_age": "PT5M",
                "one_prober": "refused",
            },
            "fence": {
                "within": "PT15S", "paths": ["database", { "process": "power-main", "site": "witness" }],
                "unproved": "ask",
            },
            "loss": { "max": "PT30S", "unknown": "ask" },
            "drain": { "within": "PT5M", "switchover": "back-out", "failover": "ask" },
            "reverse": {
                "wal_keep": 53687091200_u64,
                "cannot_start": { "switchover": "back-out", "failover": "continue" },
            },
            "resume": { "alone_within": "PT15M" },
            "approval": { "within": "PT15M", "then": "hold" },
            "target": { "rto": "PT15M", "rpo": "PT30S" },
            "notify": {
                "held": "/etc/pointsman/page.sh", "failed": "/etc/pointsman/page.sh",
                "completed": "/etc/pointsman/page.sh",
            },
        })
    );
}

#[test]
fn a_move_claims_what_the_group_names_and_no_client() {
    let group = parse_group(CFG, "groups/cfg.yaml", None).unwrap();
    let all: Vec<String> = group.resources().iter().map(ToString::to_string).collect();
    let mut expected: Vec<String> = Vec::new();
    for site in ["main", "secondary"] {
        for name in ["config", "log"] {
            expected.push(format!("{site}.database.{name}"));
        }
        for name in ["csp", "css", "msp", "mss"] {
            expected.push(format!("{site}.replication.{name}"));
        }
        for name in
            ["scs-msg", "cs-primary", "cs-backup", "master-scs", "site-scs", "log-msg", "proxy-a", "proxy-b"]
        {
            expected.push(format!("{site}.process.{name}"));
        }
    }
    for name in ["dns.cs-primary", "dns.cs-backup", "process.power-main"] {
        expected.push(format!("witness.{name}"));
    }
    let mut sorted = all.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
    assert!(group.resources().is_sorted());
    assert_eq!(group.other(&"main".parse().unwrap()).unwrap().as_str(), "secondary");
    assert!(group.other(&"witness".parse().unwrap()).is_none());
    assert_eq!(group.one_live().map(|name| name.as_str()).collect::<Vec<_>>(), ["config"]);
}

const MINIMAL: &str = "version: 1\ngroup: g\nsites: [a, b]\n";

/// (lines after the minimal file, what the first line of the error must begin with)
const BAD: &[(&str, &str)] = &[
    ("loss: { max: 30 }\n", "g.yaml:4:14: document-shape: invalid type: integer `30`, expected a string"),
    ("loss: { most: 30s }\n", "g.yaml:4:9: document-shape: unknown field `most`"),
    (
        "loss: { unknown: { accepted_by: '', why: lab, until: 2027-06-30 } }\n",
        "g.yaml:4:33: config-value: an acceptance says who and why",
    ),
    ("trigger: { mode: auto }\n", "g.yaml:4:18: one-prober: `auto` is refused"),
    ("trigger: { mode: automatic }\n", "g.yaml:4:18: document-shape: unknown variant `automatic`"),
    ("trigger: { mod: auto }\n", "g.yaml:4:12: document-shape: unknown field `mod`"),
    ("trigger: { misses: 0 }\n", "g.yaml:4:20: config-value: "),
    ("trigger: { run: Fail Over }\n", "g.yaml:4:17: config-value: "),
    (
        "trigger: { one_prober: accepted }\n",
        "g.yaml:4:24: document-shape: invalid value: string \"accepted\", expected `refused` or",
    ),
    (
        "trigger: { mode: auto, one_prober: { accepted_by: anna, why: lab } }\n",
        "g.yaml:4:36: document-shape: missing field `until`",
    ),
    (
        "trigger: { mode: auto, one_prober: { accepted_by: '', why: lab, until: 2027-06-30 } }\n",
        "g.yaml:4:51: config-value: an acceptance says who and why",
    ),
    ("fence: { within: 6s }\n", "g.yaml:4:18: config-fence-within: `6s` is too short: at least 7s"),
    ("fence: { within: 15 }\n", "g.yaml:4:18: document-shape: invalid type: integer `15`, expected a string"),
    ("fence: { within: 15 s }\n", "g.yaml:4:18: document-shape: `15 s` is not a duration"),
    ("fence: { unproved: yes }\n", "g.yaml:4:20: document-shape: "),
    (
        "fence:\n  unproved: { accepted_by: a, why: b, until: soon }\n",
        "g.yaml:5:46: document-shape: invalid value: string \"soon\", expected a day",
    ),
    (
        "fence: { paths: [database, { proces: x, site: main }] }\n",
        "g.yaml:4:30: document-shape: unknown field `proces`",
    ),
    ("fence: { paths: [database, database] }\n", "g.yaml:4:28: config-claimed-twice: "),
    (
        "databases: { Config: { kind: one-live, replication: {} } }\n",
        "g.yaml:4:14: document-shape: `Config` is not a name",
    ),
    (
        "databases: { c: { kind: one-live, replication: { a->b: x } } }\n",
        "g.yaml:4:48: config-replication: no replication for `b->a`",
    ),
    (
        "databases: { c: { kind: one-live, replication: { a->b: x, b->a: y, a->c: z } } }\n",
        "g.yaml:4:68: config-sites: `a->c` is no direction",
    ),
    (
        "databases: { c: { kind: one-live, replication: { a->b: x, b->a: x } } }\n",
        "g.yaml:4:65: config-claimed-twice: replication `x` is already at",
    ),
    (
        "databases: { c: { kind: one-live, replication: { a-b: x } } }\n",
        "g.yaml:4:50: document-shape: `a-b` is not a direction",
    ),
    (
        "databases: { c: { kind: live, replication: {} } }\n",
        "g.yaml:4:25: document-shape: unknown variant `live`",
    ),
    ("live_only: [x, y, x]\n", "g.yaml:4:19: config-claimed-twice: process `x` is already at /live_only/0"),
    ("live_only: [x]\neverywhere: [x]\n", "g.yaml:5:14: config-claimed-twice: process `x`"),
    ("live_only: [{ x: {} }]\n", "g.yaml:4:13: document-shape: invalid type: map, expected a string"),
    (
        "everywhere: [{ x: { database: log@own } }]\n",
        "g.yaml:4:31: config-reference: there is no database `log`",
    ),
    (
        "everywhere: [{ x: { database: log } }]\n",
        "g.yaml:4:31: document-shape: `log` is not a database at a site",
    ),
    (
        "databases: { c: { kind: both-live, replication: { a->b: x, b->a: y } } }\n\
         everywhere: [{ p: { database: c@w } }]\n",
        "g.yaml:5:31: config-sites: `w` is none of the group's sites, a and b",
    ),
    (
        "everywhere: [{ x: { database: log@a } }]\n",
        "g.yaml:4:31: config-reference: there is no database `log`",
    ),
    ("everywhere: [{ x: {}, y: {} }]\n", "g.yaml:4:14: document-shape: one process to an item"),
    ("everywhere: [{}]\n", "g.yaml:4:14: document-shape: "),
    (
        "everywhere: [5]\n",
        "g.yaml:4:14: document-shape: invalid type: integer `5`, expected a process's name",
    ),
    (
        "names: { records: { n: { name: localhost, at: w } } }\n",
        "g.yaml:4:32: config-value: `localhost` is not a host name",
    ),
    (
        "names: { records: { n: { name: a.example, at: runner } } }\n",
        "g.yaml:4:47: document-shape: `runner` is reserved",
    ),
    ("names: { max_ttl: 0s }\n", "g.yaml:4:19: config-value: more than 0s"),
    ("clients: { done_when: 90 }\n", "g.yaml:4:23: document-shape: "),
    (
        "clients: { hosts: [{ host: h, site: a }], caches: [{ host: h, site: a }] }\n",
        "g.yaml:4:20: config-claimed-twice: dns `h` at a",
    ),
    ("reverse: { wal_keep: 50GB }\n", "g.yaml:4:22: document-shape: `50GB` is not a size"),
    ("approval: { then: start }\n", "g.yaml:4:19: document-shape: unknown variant `start`"),
    ("notify: { held: page.sh }\n", "g.yaml:4:17: config-value: the command's path must be absolute"),
    ("nonsense: 1\n", "g.yaml:4:1: document-shape: unknown field `nonsense`"),
];

#[test]
fn each_bad_group_is_refused_at_its_place() {
    let mut wrong = Vec::new();
    for (lines, begin) in BAD {
        let said = check(&format!("{MINIMAL}{lines}"), None);
        if !said.starts_with(begin) {
            wrong.push(format!("{lines} gave {said}\nnot  {begin}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let whole = [
        ("version: 2\ngroup: g\nsites: [a, b]\n", "g.yaml:1:10: document-shape: version 2 is not read"),
        ("group: g\nsites: [a, b]\n", "g.yaml:1:1: document-shape: missing field `version`"),
        ("version: 1\ngroup: G\nsites: [a, b]\n", "g.yaml:2:8: document-shape: `G` is not a name"),
        ("version: 1\ngroup: g\nsites: [a, a]\n", "g.yaml:3:12: config-sites: `a` twice"),
        ("version: 1\ngroup: g\nsites: [a]\n", "g.yaml:3:8: document-shape: invalid length 1"),
        ("version: 1\ngroup: g\nsites: [a, b, c]\n", "g.yaml:3:8: document-shape: 3 items; 2 were expected"),
        ("version: 1\ngroup: g\nsites: [a, event]\n", "g.yaml:3:12: document-shape: `event` is reserved"),
    ];
    for (text, begin) in whole {
        let said = check(text, None);
        assert!(said.starts_with(begin), "{text} gave {said}");
    }
    assert_eq!(check(MINIMAL, None), "ok: g");
}

#[test]
fn all_errors_of_sense_come_at_once_in_the_order_of_the_file() {
    let said = check(
        &format!(
            "{MINIMAL}clients: {{ within: 0s }}\nfence: {{ within: 1s }}\ntrigger: {{ mode: auto }}\nlive_only: [x, x]\n"
        ),
        None,
    );
    let places: Vec<&str> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["g.yaml:4:20", "g.yaml:5:18", "g.yaml:6:18", "g.yaml:7:16"], "{said}");
}

#[test]
fn auto_is_taken_when_somebody_accepts_the_one_prober() {
    let text = format!(
        "{MINIMAL}trigger: {{ mode: auto, one_prober: {{ accepted_by: anna, why: a lab, until: 2027-06-30 }} }}\n"
    );
    let group = parse_group(&text, "g.yaml", None).unwrap();
    assert_eq!(group.trigger.mode, TriggerMode::Auto);
    let RefusedOr::Accepted(acceptance) = &group.trigger.one_prober else { panic!("not accepted") };
    assert!(acceptance.counts_at("2027-06-30T23:59:59Z".parse().unwrap()));
    assert!(!acceptance.counts_at("2027-07-01T00:00:00Z".parse().unwrap()));
}

#[test]
fn a_group_stands_over_the_defaults() {
    let defaults = "version: 1\nfence: { within: 30s, unproved: { accepted_by: bob, why: power is cut by hand, until: 2027-01-01 } }\n\
                    trigger: { mode: ask, hold_down: 10s }\n";
    let text = format!("{MINIMAL}trigger: {{ hold_down: 20s }}\nfence: {{ paths: [database] }}\n");
    let group = parse_group(&text, "g.yaml", Some((defaults, "defaults.yaml"))).unwrap();
    assert_eq!(group.trigger.mode, TriggerMode::Ask);
    assert_eq!(group.trigger.hold_down, Span::seconds(20));
    assert_eq!(group.fence.within, Span::seconds(30));
    assert_eq!(group.fence.standing().unwrap().accepted_by, "bob");
    assert_eq!(group.drain.within, Span::seconds(300));

    // An acceptance of the defaults never completes a half one.
    let half = format!("{MINIMAL}fence: {{ unproved: {{ accepted_by: eve }} }}\n");
    assert!(check(&half, Some(defaults)).starts_with("g.yaml:4:20: document-shape: missing field `why`"));
    // What the defaults say wrong stands in the defaults.
    let auto = "version: 1\ntrigger: { mode: auto }\n";
    assert!(check(MINIMAL, Some(auto)).starts_with("defaults.yaml:2:18: one-prober: "));
    for (text, begin) in [
        ("version: 1\nlive_only: [x]\n", "defaults.yaml:2:1: document-shape: unknown field `live_only`"),
        ("version: 1\nloss: { most: 1s }\n", "defaults.yaml:2:9: document-shape: unknown field `most`"),
        (
            "version: 1\nfence: { paths: [database] }\n",
            "defaults.yaml:2:10: document-shape: unknown field `paths`",
        ),
    ] {
        let said = check(MINIMAL, Some(text));
        assert!(said.starts_with(begin), "{text} gave {said}");
    }
}

#[test]
fn two_groups_never_claim_one_resource_or_name() {
    let folder = tempfile::tempdir().unwrap();
    let groups = folder.path().join("groups");
    std::fs::create_dir(&groups).unwrap();
    let write = |name: &str, text: &str| std::fs::write(groups.join(name), text).unwrap();
    let file = |name: &str, process: &str, record: &str, host: &str| {
        format!(
            "version: 1\ngroup: {name}\nsites: [a, b]\nlive_only: [{process}]\nnames: {{ records: {{ {record}: {{ name: {host}, at: w }} }} }}\n"
        )
    };
    write("one.yaml", &file("one", "p", "r", "x.example.net"));
    write("two.yml", &file("two", "q", "s", "y.example.net"));
    write(".hidden.yaml", "nonsense");
    write("note.txt", "nonsense");
    let names: Vec<String> = load_groups(&groups).unwrap().into_iter().map(|g| g.name.to_string()).collect();
    assert_eq!(names, ["one", "two"]);

    for (process, record, host, what) in [
        ("p", "s", "y.example.net", "a.process.p belongs to group `one`"),
        ("q", "r", "y.example.net", "w.dns.r belongs to group `one`"),
        ("q", "s", "X.example.net.", "the name x.example.net belongs to group `one`"),
    ] {
        write("two.yml", &file("two", process, record, host));
        let said = load_groups(&groups).unwrap_err().to_string();
        assert!(
            said.contains("two.yml:") && said.contains("config-claimed-twice") && said.contains(what),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    write("two.yml", &file("one", "q", "s", "y.example.net"));
    assert!(load_groups(&groups).unwrap_err().to_string().contains("group `one` is already in"));

    // Every file's errors come at once, and one wrong file stops all.
    write("two.yml", "nonsense: 1\n");
    write("three.yaml", "a: [\n");
    let said = load_groups(&groups).unwrap_err().to_string();
    assert!(said.contains("two.yml:1:1") && said.contains("three.yaml:"), "{said}");
    std::fs::write(folder.path().join("defaults.yaml"), "version: 3\n").unwrap();
    assert!(load_groups(&groups).unwrap_err().to_string().contains("defaults.yaml:1:10"));
}

#[test]
fn a_folder_or_file_that_cannot_be_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    for said in [
        load_groups(&missing).unwrap_err().to_string(),
        load_groups(folder.path()).unwrap_err().to_string(),
        config::load_host(&missing).unwrap_err().to_string(),
    ] {
        assert!(said.contains("config-unreadable"), "{said}");
    }
    let said = config::load_host(&missing).unwrap_err().to_string();
    assert!(said.contains("`pointsman init`, or `--config FILE`"), "{said}");
    let binary = folder.path().join("host.yaml");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    assert!(config::load_host(&binary).unwrap_err().to_string().contains("UTF-8"));
}

const HOST: &str = "version: 1
site: main
groups: [cfg]
bus: { prefix: pointsman, servers: [tls://s1nats, tls://wnats], creds: bus.creds }
database:
  config: { driver: postgres, dsn: file:config.dsn, writers: [cfg_db], boot: close-on-sight }
  log:    { driver: postgres, dsn: file:log.dsn, writers: [ms_db] }
dns:
  s1app: { client: resolvectl }
";

#[test]
fn a_host_hands_on_its_settings_with_their_places() {
    let host = parse_host(HOST, "host.yaml", "/etc/pointsman").unwrap();
    assert_eq!(host.site.as_str(), "main");
    assert_eq!(host.bus.creds.as_deref(), Some("/etc/pointsman/bus.creds".as_ref()));
    assert_eq!(host.state.as_os_str(), "/var/lib/pointsman");
    assert_eq!(host.services().collect::<Vec<_>>(), [Service::Dns, Service::Database]);
    let settings: Vec<_> = host.settings(Service::Database).collect();
    assert_eq!(settings.len(), 2);
    assert_eq!(settings[0].resource.as_str(), "config");
    assert_eq!(settings[0].located.get("dsn").unwrap().as_str(), Some("file:config.dsn"));
    let at = settings[0].located.get("dsn").unwrap().place();
    assert_eq!((at.line, at.column), (6, 36));
    let error = settings[1].document.error(&format!("{}/dsn", settings[1].pointer), "x", "y");
    assert_eq!(error.to_string(), "host.yaml:7:36: x: y");
}

#[test]
fn a_host_of_several_groups_says_whose_each_resource_is() {
    let text = "version: 1\nsite: main\ngroups: [cfg, shop]\nbus: { servers: [nats://a] }\n\
                database:\n  config: { group: cfg, driver: memory }\n  orders: { driver: memory, group: shop }\n\
                dns: { s1app: { client: resolvectl } }\n";
    let host = parse_host(text, "host.yaml", "").unwrap();
    let whose = |service| {
        let all = host.settings(service);
        all.map(|its| (its.resource.to_string(), its.group.map(ToString::to_string))).collect::<Vec<_>>()
    };
    let named = |resource: &str, group: &str| (resource.to_owned(), Some(group.to_owned()));
    assert_eq!(whose(Service::Database), [named("config", "cfg"), named("orders", "shop")]);
    assert_eq!(whose(Service::Dns), [("s1app".to_owned(), None)]);
    // The driver's own types refuse what they do not know: `group` is not theirs.
    let orders = host.settings(Service::Database).nth(1).unwrap();
    assert!(orders.located.get("group").is_none());
    assert_eq!(orders.located.get("driver").unwrap().line, 7);
    let one = parse_host(HOST, "host.yaml", "").unwrap();
    assert!(
        one.settings(Service::Database).all(|its| its.group.is_some_and(|group| group.as_str() == "cfg"))
    );
}

#[test]
fn each_bad_host_is_refused_at_its_place() {
    let bad = [
        (
            "version: 1\nsite: runner\nbus: { servers: [nats://a] }\n",
            "host.yaml:2:7: document-shape: `runner` is reserved",
        ),
        ("version: 1\nsite: a\n", "host.yaml:1:1: document-shape: missing field `bus`"),
        ("version: 1\nsite: a\nbus: { servers: [] }\n", "host.yaml:3:17: config-value: at least one server"),
        (
            "version: 1\nsite: a\nbus: { servers: [a:4222] }\n",
            "host.yaml:3:18: config-value: `a:4222` is not a server",
        ),
        (
            "version: 1\nsite: a\nbus: { servers: ['nats://u:p@h'] }\n",
            "host.yaml:3:18: config-value: secrets stand in files",
        ),
        ("version: 1\nsite: a\nbus: { prefix: A, servers: [nats://a] }\n", "host.yaml:3:16: config-value: "),
        (
            "version: 1\nsite: a\nbus: { servers: [nats://a], creds: x, nkey: y }\n",
            "host.yaml:3:39: config-value: either",
        ),
        (
            "version: 1\nsite: a\nbus: { servers: [nats://a], tls: { cert: x } }\n",
            "host.yaml:3:34: config-value: `cert` and `key`",
        ),
        (
            "version: 1\nsite: a\nbus: { servers: [nats://a] }\nprocess: { p: memory }\n",
            "host.yaml:4:15: config-value: process `p` needs",
        ),
        (
            "version: 1\nsite: a\nbus: { servers: [nats://a] }\nprocess: { P: {} }\n",
            "host.yaml:4:12: document-shape: `P` is not a name",
        ),
        (
            "version: 1\nsite: a\nbus: { servers: [nats://a] }\nprocess: { p: {} }\n",
            "host.yaml:4:15: config-value: whose is it?",
        ),
        (
            "version: 1\nsite: a\ngroups: [g, h]\nbus: { servers: [nats://a] }\nprocess: { p: {} }\n",
            "host.yaml:5:15: config-value: `groups` names several",
        ),
        (
            "version: 1\nsite: a\ngroups: [g, h]\nbus: { servers: [nats://a] }\nprocess: { p: { group: i } }\n",
            "host.yaml:5:24: config-value: no group that `groups`",
        ),
        (
            "version: 1\nsite: a\ngroups: [g]\nbus: { servers: [nats://a] }\ndns: { c: { client: x, group: g } }\n",
            "host.yaml:5:31: config-value: a client of names",
        ),
        (
            "version: 1\nsite: a\nbus: { servers: [nats://a] }\nproces: {}\n",
            "host.yaml:4:1: document-shape: unknown field `proces`",
        ),
    ];
    let mut wrong = Vec::new();
    for (text, begin) in bad {
        match parse_host(text, "host.yaml", "") {
            Ok(_) => wrong.push(format!("{text} was read")),
            Err(found) if found.to_string().starts_with(begin) => {}
            Err(found) => wrong.push(format!("{text} gave {found}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_skeletons_are_valid_and_write_out_the_defaults() {
    let group = parse_group(&init::group(), "group.yaml", None).unwrap();
    let with_defaults =
        parse_group(&init::group(), "group.yaml", Some((&init::defaults(), "defaults.yaml"))).unwrap();
    assert_eq!(group, with_defaults);
    // The values written out are the built-in ones: the same file without them reads the same.
    let bare = parse_group("version: 1\ngroup: cfg\nsites: [main, secondary]\n", "group.yaml", None).unwrap();
    for (name, policy) in bare.to_workflow_input().as_object().unwrap() {
        let written = &group.to_workflow_input()[name];
        match name.as_str() {
            "databases" | "live_only" | "target" => {}
            "names" => assert_eq!(written["max_ttl"], policy["max_ttl"]),
            _ => assert_eq!(written, policy, "{name}"),
        }
    }
    parse_host(&init::host(&[], None), "host.yaml", "").unwrap();
    for kind in HostKind::ALL {
        let host = parse_host(&init::host(&[*kind], None), "host.yaml", "").unwrap();
        assert_eq!(host.runner.is_some(), *kind == HostKind::Runner);
    }
    let host = parse_host(&init::host(HostKind::ALL, None), "host.yaml", "").unwrap();
    assert_eq!(host.services().count(), 4);
}

/// What one site sends the other one receives, under the same names.
#[test]
fn the_second_sites_beginning_is_the_firsts_the_other_way_round() {
    let names = |site: &str| {
        let site = SiteId::new(site).unwrap();
        let host = parse_host(&init::host(&[HostKind::Database], Some(&site)), "host.yaml", "").unwrap();
        assert_eq!(host.site, site);
        let half = |name: &str| {
            let settings = host.settings(Service::Replication).find(|s| s.resource.as_str() == name).unwrap();
            let value = settings.located.to_value();
            (value["slot"].clone(), value.get("subscription").is_some())
        };
        (half("csp"), half("css"))
    };
    let ((forward, receives), (reverse, also)) = names("main");
    assert_eq!((receives, also), (false, true));
    assert_eq!(names("secondary"), ((forward, true), (reverse, false)));
}

#[test]
fn the_schemas_take_what_the_program_takes() {
    let valid = |file: &str, text: &str| -> Vec<String> {
        let schema = jsonschema::validator_for(&json_schema(file).unwrap()).unwrap();
        let value: Value = Document::parse(text, "f.yaml").unwrap().value().clone();
        schema.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    };
    assert_eq!(valid("group", CFG), [] as [String; 0]);
    assert_eq!(valid("group", &init::group()), [] as [String; 0]);
    assert_eq!(valid("defaults", &init::defaults()), [] as [String; 0]);
    assert_eq!(valid("host", &init::host(HostKind::ALL, None)), [] as [String; 0]);
    assert_eq!(valid("host", HOST), [] as [String; 0]);
    // Shape errors of the tables are errors of the schema too.
    for (lines, begin) in BAD.iter().filter(|(_, begin)| begin.contains("document-shape")) {
        let names = ["is not a name", "is reserved", "is not a direction", "expected a day"];
        if names.iter().any(|name| begin.contains(name)) {
            continue;
        }
        assert!(!valid("group", &format!("{MINIMAL}{lines}")).is_empty(), "the schema takes {lines}");
    }
    assert!(valid("group", &format!("{MINIMAL}loss: {{}}\n")).is_empty());
}

#[test]
fn the_committed_schemas_are_current() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../json/config");
    for file in config::FILES {
        let path = format!("{folder}/{file}.schema.json");
        let now = format!("{}\n", serde_json::to_string_pretty(&json_schema(file).unwrap()).unwrap());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(&path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == now, "{path} is not what the types say: run the test with UPDATE_GOLDEN=1");
    }
}
