//! Words that `status` and `check` print, explained as codes are.

/// A word, what it means, and what to do.
pub(super) const WORDS: &[(&str, &str, &str)] = &[
    (
        "normal",
        "The group is live and no run moves it: at its first site, protected or not, or at the other one, protected.",
        "Nothing where `status` says `protected`; where it says `unprotected`, what it names there. From the other site \
         `pointsman failback` is the way home.",
    ),
    (
        "limited",
        "The live site, its database, or everything that runs there only does not answer; or of a program of `everywhere` no \
         copy is healthy, such as proxies that have lost their server: its users can read, not write.",
        "Mend it there if that is quick; else `pointsman failover`. `status` names the command.",
    ),
    (
        "switching-over",
        "A planned move is under way, to the site that `status` names; until it ends the old one is recorded as live.",
        "`pointsman watch RUN`; before the opening `pointsman cancel RUN` backs out.",
    ),
    ("failing-over", "An unplanned move is under way.", "`pointsman watch RUN` says what it waits for."),
    ("failing-back", "A planned move to the group's first site is under way.", "`pointsman watch RUN`."),
    (
        "failed-over",
        "The group is live and nobody receives what is written there: losing this site too would lose data.",
        "Bring the other site up to date: `pointsman reprotect`, by catch-up or by copy as `status` says.",
    ),
    (
        "resyncing",
        "The site that is not live is being brought up to date, or tidied after a copy.",
        "`pointsman watch RUN`; `status` shows how far a copy is.",
    ),
    (
        "split-brain",
        "Two sites are open at once, and nobody accepted that: both may take writes, and their rows will have to be \
         told apart by hand.",
        "Close one by hand at once (docs/workflows/by-hand.md), then `pointsman adopt`.",
    ),
    (
        "unknown",
        "A mode: the group was not adopted, no site is live, the journal is a copy, or the group was moved by hand. A loss: \
         nobody can tell it, and no bound that was given in advance stands for that.",
        "`pointsman adopt` takes the world as it is; after a move by hand `pointsman adopt GROUP --live SITE`, the site that is \
         open. A loss: mend what hides it, or agree it with whoever owns the data and say `pointsman accept RUN --data-loss \
         unknown`.",
    ),
    (
        "unprotected",
        "Nobody receives what is written at the live site, whose log is kept and fills the disk; or the other site was compared, and \
         does not hold the same rows.",
        "Bring the other site back and `pointsman reprotect`; by copy where it differs.",
    ),
    (
        "counts-as-open",
        "A site was not seen closed in this epoch by a service that reached its database; unknown counts as open.",
        "Let its service answer, prove it by a fence path, or take the risk: `pointsman accept RUN --unfenced SITE`.",
    ),
    (
        "accepted",
        "A site was not seen closed, and somebody took the risk that it is open, for this epoch.",
        "When it is back it is closed: `status` shows that debt.",
    ),
    (
        "partly-open",
        "Some writers of a database can log in, may write, or still have a session; others cannot. It counts as open.",
        "`pointsman check` names what is missing; a move closes it, or do it by hand (docs/workflows/by-hand.md).",
    ),
    (
        "silent",
        "A service was not heard for 6 s. It proves nothing about what stands beside it.",
        "Look at its host: does `pointsman serve` run, and does it reach the bus?",
    ),
    (
        "owed",
        "Something could not be asked during a move; it is asked as soon as its service answers.",
        "Nothing, or bring its host back.",
    ),
    (
        "held",
        "The run does nothing until a person decides; what it waits for names the commands.",
        "Type one of them.",
    ),
    (
        "waiting",
        "The run waits for something outside; it goes on by itself when that comes.",
        "See what it waits for.",
    ),
    ("proved", "A site was seen closed in this epoch, by its service or by a fence path.", "Nothing."),
    (
        "not-proved",
        "Nobody could see that a site is closed: it may still take writes.",
        "A fence path, or `pointsman accept`.",
    ),
    ("planned", "The run closes the site itself, first.", "Nothing."),
    ("within-limit", "Less would be lost than the group's `loss.max`.", "Nothing."),
    (
        "above-limit",
        "More would be lost than the group's `loss.max`: an unplanned move waits for a person.",
        "`pointsman accept RUN --data-loss DURATION`, agreed with whoever owns the data.",
    ),
    (
        "not-finished",
        "Tables of the other site are still being copied, or were given up in the middle: nothing is protected, and nobody \
         can tell what a move would lose. Planned moves are refused.",
        "`pointsman status` shows how far it is; give a `reprotect --by copy` that was given up again.",
    ),
    (
        "capturing",
        "The source keeps changes and nobody applies them: its disk fills.",
        "Bring the receiver back.",
    ),
    (
        "stopped",
        "Nothing is kept and nothing applied, or a program does not run.",
        "As it should be at the site that is not live. Where it stands against a planned move, bring that site up to date first: \
         `pointsman reprotect`.",
    ),
    (
        "broken",
        "A replication does not bring over what is written at the live site, in its server's words.",
        "Mend it; `status` says when it runs. A planned move starts only when it is named with `--override`.",
    ),
    (
        "disconnect",
        "A person declared that only the link between the sites is lost: no trigger starts anything, and nobody takes over.",
        "When it is over, `pointsman declare over`. `status` shows beside it what would be lost now.",
    ),
    (
        "outage",
        "A person declared that a site is down and will return with what it has. It starts nothing.",
        "`status` names the failover, and the way home afterwards; when it is over, `pointsman declare over`.",
    ),
    (
        "disaster",
        "A person declared that a site is gone and will not return as it was: what is owed there stays owed, and the way home is by \
         copy only.",
        "Build the site anew, `pointsman reprotect --by copy`, then `pointsman declare over`.",
    ),
    ("standby", "A database that follows the other site, closed.", "Nothing."),
    ("live", "The site, or database, that takes writes.", "Nothing."),
    ("open", "Whether the live site's database takes writes.", "`pointsman status` says what is closed."),
    (
        "closed",
        "Whether the database of the site that is not live is closed.",
        "Two sites may be written: close it by hand, then look what was written there.",
    ),
    (
        "runs",
        "Whether what runs at the live site only runs there.",
        "Start it again by hand: that is no lost site.",
    ),
    (
        "dormant",
        "Whether what runs at the live site only is stopped at the other one.",
        "Stop it, and take away what starts it.",
    ),
    (
        "fence-path",
        "Whether a fence path of the group can prove that a site of the group is off, and does not say so in peace.",
        "Mend `closes:`, the switch or its check script (docs/workflows/failover.md).",
    ),
    (
        "protected",
        "Whether the other site receives what is written.",
        "The line names the reason and the command, as `pointsman status` does.",
    ),
    (
        "fresh",
        "Whether less would be lost now than the group's `loss.max`; from half of it on it is amber. Red, it stands against \
         planned moves only: a failover meets the loss gate.",
        "The line says what is in the way: nothing that runs, and the `reprotect`; else what holds the receiver up is told by \
         `pointsman status`, its server's log, the link.",
    ),
    (
        "trigger",
        "Whether what monitoring would start is a workflow that leaves a site.",
        "Mend `trigger.run` of the group's file.",
    ),
    (
        "doubts",
        "Whether calls were passed without knowing what became of them.",
        "They are asked again when their services answer.",
    ),
    // Lines of `check`: SITE.SERVICE.RESOURCE.NAME.
    (
        "answers",
        "Whether the service of a resource answers.",
        "Start `pointsman serve` on its host, or mend its way to the bus.",
    ),
    (
        "check",
        "Whether the service of a resource says in time what would stand in the way of its acts.",
        "Update it where it is older than the runner; else look at its log, and at what is behind it: it hangs or is very slow.",
    ),
    (
        "seen",
        "Whether the service of a resource can see it at all.",
        "The line names what is in the way, and the code to explain.",
    ),
    (
        "adopted",
        "Whether a service's ledger was taken into service: a new or lost one acts on nothing.",
        "`pointsman adopt`.",
    ),
    (
        "armed",
        "Whether a host's brake is off: before that its services change nothing.",
        "`pointsman arm` on that host.",
    ),
    (
        "instances",
        "Whether one service instance serves a resource: two would act beside each other.",
        "Stop the second one.",
    ),
    ("version", "Whether services and runner are at most one release apart.", "Upgrade the older one."),
    ("clock", "Whether a service's clock agrees with the runner's.", "Look at NTP on that host."),
    ("reachable", "Whether a database lets its service in.", "Look at the server, the `dsn`, and its log."),
    (
        "setup",
        "Whether the functions of `setup postgres` are installed.",
        "Run what `pointsman setup postgres --print` prints, in that database, as its superuser.",
    ),
    (
        "setup-version",
        "Whether the functions of `setup postgres` are of this program's version: acts that need newer ones are refused. Red, it \
         stands against planned moves only.",
        "Run what `pointsman setup postgres --print` prints again, in that database, as its superuser.",
    ),
    (
        "credentials",
        "Whether passwords and certificates by which a database is reached are valid, and for longer than a month.",
        "Renew it, and its file.",
    ),
    (
        "bus",
        "Whether what a host's services are known by on the bus is valid, and for longer than a month.",
        "Renew the JWT or the certificate, and start `pointsman serve` anew.",
    ),
    (
        "runner-bus",
        "Whether what the runner is known by on the bus is valid, and for longer than a month.",
        "Renew the JWT or the certificate, and start the runner anew.",
    ),
    (
        "disk",
        "Whether the database's disk has room, and whether its service can see that.",
        "Make room: a slot keeps log while the other site is away. Where it is seen from no host, watch it there.",
    ),
    (
        "closable",
        "Whether the writers of a database can be shut out.",
        "Give them plain roles that own no table.",
    ),
    ("wal-keep", "Whether a slot that nobody reads is bounded.", "Set max_slot_wal_keep_size."),
    (
        "publication",
        "Whether what is published is what a move needs.",
        "Alter the publication as the line says.",
    ),
    (
        "slot",
        "Whether the slot still holds what its receiver needs.",
        "If it is lost, the other site needs a copy.",
    ),
    (
        "peer",
        "Whether a receiver's service can ask the source.",
        "Look at `peer:` in the host's file, and the network.",
    ),
    ("tables", "Whether every table that is sent is received.", "ALTER SUBSCRIPTION … REFRESH PUBLICATION."),
    (
        "unpublished",
        "Tables of the application that no publication sends: a move loses them.",
        "Publish them, or name them in `local_tables` of the replication in the host's file, where they are meant to stay behind.",
    ),
    (
        "schema",
        "Whether tables, with their keys, constraints, triggers and indexes, are alike at both sites.",
        "Red: make them alike before a row stops the receiver; it stands against planned moves only. Amber: before the next \
         move.",
    ),
    (
        "update",
        "Whether DNS servers take a signed update that changes nothing, or what a script of the operator's says of it.",
        "Look at key, zone and update policy.",
    ),
    (
        "ttl",
        "Whether a record's time to live is within the group's `names.max_ttl`.",
        "Lower it at the server.",
    ),
    (
        "path",
        "Whether a name can be changed without the site that would be left; `path-NAME` says it of a record of the group's file.",
        "Give it an update path elsewhere: `update:` and `verify:` of the host's file; of a record its `at:`, a third place.",
    ),
    (
        "hosts",
        "Whether the hosts file of a client host can be pushed while a name cannot be changed, or was, and still leads there.",
        "Nothing: it is taken away once the names are right at their servers. Else mend `push`, `unpush` or `names` of the host's file.",
    ),
    (
        "contradicted",
        "What a step of a held run did is not seen any more: somebody undid it by hand, or it failed since.",
        "Do it again by hand, or `pointsman retry RUN STEP`; an opening looks again before it acts.",
    ),
    ("unit", "Whether systemd knows a unit and may be asked.", "Install it, or mend its name."),
    (
        "autostart",
        "Whether anything but Pointsman starts what must stay dormant: systemd with its timers, a script of a boot, cron. Not seen: \
         another product's controller, crontabs and units of users, drop-ins of units, `at`, `anacrontab`, a script that another \
         script runs.",
        "Take away what the line names; switch off by hand what is not seen.",
    ),
    (
        "write",
        "Whether anybody can tell that users can write to a database that scripts close and open: a back-out of a planned move \
         ends with that.",
        "Name `write:`, a script that writes as the application does, or at least `check:`.",
    ),
    ("scripts", "Whether the scripts of a resource are there and may be run.", "Install them, mode 755."),
    ("look", "Whether anybody can tell if a program runs.", "Name a check script or a health gate."),
    (
        "repoint",
        "Whether a program of `everywhere` with the database of one site can be made to work on another site's.",
        "Name its scripts, `repoint:` and `pointed:`, in its host's file; install them, mode 755.",
    ),
    (
        "points",
        "Whether the database on which such a program works is there, and anybody can tell which it is.",
        "Mend its `pointed:` script, or run its `repoint` script for the live site.",
    ),
    (
        "check-script",
        "A program that must not run at two sites has a health gate and no check script: where nobody answers its gate it may run \
         all the same. Its stop script is run whenever it is to be stopped; before a start nobody can tell.",
        "Name a `check:` script in its host's file: exit 0 it runs, 1 nothing of it runs.",
    ),
];
