//! The lab as a tool in a person's hands.

use std::path::PathBuf;
use std::process::{Command, Output};

use lab::standin::running;
use lab::system::marked;

use crate::bench::{alone, folder};

fn program() -> PathBuf {
    running::program().unwrap().with_file_name("lab")
}

fn tool(words: &[&str]) -> Output {
    Command::new(program()).arg("--state").arg(folder("tool")).args(words).output().unwrap()
}

#[track_caller]
fn says(words: &[&str]) -> String {
    let done = tool(words);
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "lab {}: {out}{err}", words.join(" "));
    out.into_owned()
}

/// Ends the lab also when the test fails.
struct Down;

impl Drop for Down {
    fn drop(&mut self) {
        let _ = tool(&["down"]);
    }
}

#[test]
fn the_lab_comes_up_takes_commands_and_leaves_nothing_behind() {
    let _alone = alone();
    let _down = Down;
    let up = says(&["up"]);
    assert!(up.contains("databases  main       postgresql://"), "{up}");
    assert!(!tool(&["up"]).status.success(), "a second lab in the same folder");
    assert_eq!(says(&["client", "--at", "main", "mode"]), "normal 127.0.1.3\n");
    assert_eq!(says(&["client", "write", "800000001", "hello"]), "OK 800000001\n");
    assert_eq!(says(&["client", "read", "800000001"]), "ROW 800000001 hello\n");
    says(&["lose-host", "s1app", "--by", "freeze"]);
    assert!(says(&["status"]).contains("lost       s1app (freeze)"));
    assert!(!tool(&["lose-host", "s1app"]).status.success(), "it is lost already");
    assert!(!tool(&["client", "--at", "main", "mode"]).status.success(), "a frozen proxy answered");
    says(&["return-host", "s1app"]);
    says(&["client", "--at", "main", "read", "1"]);
    says(&["lose-host", "dns", "--by", "kill"]);
    says(&["return-host", "dns"]);
    let state = folder("tool").canonicalize().unwrap();
    assert!(!marked::of_lab(&state).is_empty());
    says(&["down"]);
    assert!(!state.exists());
    assert_eq!(marked::of_lab(&state), Vec::<u32>::new());
    says(&["down"]);
}
