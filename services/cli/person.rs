//! Who asks.

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

fn user() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "unknown".to_owned())
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
mod tests {
    #[test]
    fn a_user_name_becomes_one_token() {
        assert_eq!(super::token("Anna.Müller").as_deref(), Some("anna-m-ller"));
        assert_eq!(super::token("_x_").as_deref(), Some("x"));
        assert_eq!(super::token("..."), None);
    }
}
