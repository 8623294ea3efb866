//! Who asks.

use std::os::unix::fs::MetadataExt;

use schemas::PersonId;

/// The person as whom this host asks: what its file says, else the user's name in the bus's grammar.
/// The server's permissions decide whether that is true.
pub(crate) fn person(bus: &config::Bus) -> Option<PersonId> {
    bus.person.clone().or_else(|| token(&user()).and_then(|name| PersonId::new(name).ok()))
}

/// The user and host that this command claims; recorded beside the identity of the bus.
pub(crate) fn claimed() -> String {
    format!("{}@{}", user(), host())
}

/// This host's name.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

/// Who acts on this host without the bus: the person that its file names, and whoever claims to be that.
pub(crate) fn here(bus: &config::Bus) -> String {
    match &bus.person {
        Some(person) => format!("{person} ({})", claimed()),
        None => claimed(),
    }
}

/// The user's name: as the environment has it, else the users' file, as with a service or a bare shell.
fn user() -> String {
    let named = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(named).unwrap_or_else(|| {
        // A process's folder belongs to its user (proc(5)).
        let Ok(own) = std::fs::metadata("/proc/self") else { return "unknown".to_owned() };
        let id = own.uid();
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        named_in(&users, id).unwrap_or_else(|| format!("uid-{id}"))
    })
}

/// The name of a number in the users' file (passwd(5): name, password, number).
fn named_in(users: &str, id: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

fn token(name: &str) -> Option<String> {
    let clean: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    let clean = clean.trim_matches('-').to_owned();
    (!clean.is_empty()).then_some(clean)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    #[test]
    fn who_acts_here_is_named_by_the_hosts_file_and_by_what_is_claimed() {
        let bus = |person: &str| {
            let bus = format!("{{ servers: [\"nats://127.0.0.1:1\"]{person} }}");
            let text = format!("version: 1\nsite: a\nbus: {bus}\nstate: state\n");
            config::parse_host(&text, "host.yaml", "/etc").unwrap().bus
        };
        let claimed = super::claimed();
        assert_eq!(super::here(&bus(", person: anna")), format!("anna ({claimed})"));
        assert_eq!(super::here(&bus("")), claimed);
    }

    #[test]
    fn a_user_without_an_environment_has_the_name_of_the_users_file() {
        let users = "root:x:0:0:root:/:/bin/sh\nbroken\nanna:x:1000:1000::/srv/anna:/bin/sh\n";
        assert_eq!(super::named_in(users, 1000).as_deref(), Some("anna"));
        assert_eq!(super::named_in(users, 7), None);
    }

    #[test]
    fn a_user_name_becomes_one_token() {
        assert_eq!(super::token("Anna.Müller").as_deref(), Some("anna-m-ller"));
        assert_eq!(super::token("_x_").as_deref(), Some("x"));
        assert_eq!(super::token("..."), None);
    }
}
