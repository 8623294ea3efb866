//! Subjects: what is built is read back, and nothing else is.

use schemas::{Action, Address, Prefix, RunId, Service, SiteId, Verb};

fn prefixes() -> [Prefix; 2] {
    ["pointsman", "test.a1"].map(|text| Prefix::new(text).unwrap())
}

fn verbs(service: Service) -> impl Iterator<Item = Verb> {
    let acts = Action::ALL.iter().filter(move |action| action.service() == service).map(|a| Verb::Act(*a));
    acts.chain([Verb::Observe, Verb::Claim, Verb::Outcome, Verb::Adopt, Verb::ByHand])
}

#[test]
fn requests_round_trip() {
    for prefix in prefixes() {
        for service in Service::ALL {
            let address = Address {
                site: "main".parse().unwrap(),
                service: *service,
                resource: "cfg-config".parse().unwrap(),
            };
            for verb in verbs(*service) {
                let subject = prefix.request(&address, verb);
                assert_eq!(prefix.parse_request(&subject), Ok((address.clone(), verb)), "{subject}");
                let (head, _) = subject.rsplit_once('.').unwrap();
                assert_eq!(prefix.requests(&address), format!("{head}.*"));
            }
        }
    }
}

#[test]
fn bad_requests_say_what_is_wrong() {
    let prefix = Prefix::new("pointsman").unwrap();
    for (subject, why) in [
        ("", "start with"),
        ("pointsman", "start with"),
        ("pointsmanx.main.dns.a.point", "start with"),
        ("other.main.dns.a.point", "start with"),
        ("pointsman.", "tokens"),
        ("pointsman.main.dns.a", "tokens"),
        ("pointsman.main.dns.a.b.point", "tokens"),
        ("pointsman.Main.dns.a.point", "`Main`"),
        ("pointsman.runner.dns.a.point", "reserved"),
        ("pointsman.event.dns.a.point", "reserved"),
        ("pointsman.main.group.a.point", "no service"),
        ("pointsman.main.dns..point", "``"),
        ("pointsman.main.dns.*.point", "`*`"),
        ("pointsman.main.dns.a.enable-access", "no action"),
        ("pointsman.main.dns.a.", "no action"),
        ("pointsman.main.process.a.Start", "no action"),
    ] {
        let error = prefix.parse_request(subject).unwrap_err();
        assert_eq!(error.subject, subject);
        assert!(error.why.contains(why), "{subject}: {}", error.why);
    }
}

#[test]
fn prefixes_are_tokens() {
    for bad in ["", ".", "a.", ".a", "A", "a.*", "a b", "$SYS", ">"] {
        assert!(Prefix::new(bad).is_err(), "took `{bad}`");
    }
    assert_eq!(Prefix::new("a.b").unwrap().as_str(), "a.b");
}

#[test]
fn persons_requests_round_trip() {
    for prefix in prefixes() {
        let anna = "anna".parse().unwrap();
        let subject = prefix.op(&anna, "status");
        assert_eq!(prefix.parse_op(&subject), Ok((anna, "status".to_owned())));
        for tail in ["", "anna", "anna.", ".status", "Anna.status", "anna.a.b", "anna.*"] {
            let subject = format!("{}.runner.op.{tail}", prefix.as_str());
            assert!(prefix.parse_op(&subject).is_err(), "took `{subject}`");
        }
        assert!(prefix.parse_op(&prefix.confirm()).is_err());
    }
}

#[test]
fn events_round_trip() {
    let run: RunId = "01938f2e-7b7c-7d10-9c7e-0a4f5b6c7d8e".parse().unwrap();
    for prefix in prefixes() {
        let witness: SiteId = "witness".parse().unwrap();
        let kind = "site-lost".parse().unwrap();
        let subject = prefix.event_in(&witness, &kind);
        assert_eq!(prefix.parse_event_in(&subject), Some(witness.clone()));
        for tail in
            ["witness", "witness.", "runner.site-lost", "witness.site-lost.x", "Witness.site-lost", ".a"]
        {
            let subject = format!("{}.event.in.{tail}", prefix.as_str());
            assert_eq!(prefix.parse_event_in(&subject), None, "took `{subject}`");
        }
        let group = "cfg".parse().unwrap();
        let out = prefix.event_out(&group, Some(&run), &kind);
        assert!(out.ends_with(".event.out.cfg.01938f2e-7b7c-7d10-9c7e-0a4f5b6c7d8e.site-lost"));
        assert!(prefix.event_out(&group, None, &kind).ends_with(".event.out.cfg.-.site-lost"));
        assert!(out.starts_with(prefix.events_out().strip_suffix('>').unwrap()));
        assert_eq!(prefix.parse_event_in(&out), None);
    }
}

/// The server's permissions and streams rely on this: no subscription of one kind sees another's.
#[test]
fn subscriptions_do_not_overlap() {
    let prefix = Prefix::new("pointsman").unwrap();
    let address =
        Address { site: "main".parse().unwrap(), service: Service::Dns, resource: "a".parse().unwrap() };
    let anna = "anna".parse().unwrap();
    let kind = "k".parse().unwrap();
    let pairs = [
        (prefix.requests(&address), prefix.request(&address, Verb::Claim)),
        (prefix.ops(), prefix.op(&anna, "status")),
        (prefix.events_in(), prefix.event_in(&address.site, &kind)),
        (prefix.events_out(), prefix.event_out(&"cfg".parse().unwrap(), None, &kind)),
        (prefix.confirm(), prefix.confirm()),
        (prefix.beat(), prefix.beat()),
    ];
    for (i, (pattern, _)) in pairs.iter().enumerate() {
        for (j, (_, subject)) in pairs.iter().enumerate() {
            assert_eq!(matches(pattern, subject), i == j, "{pattern} and {subject}");
        }
    }
}

fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(p), Some(s)) if p == s => {}
            _ => return false,
        }
    }
}
