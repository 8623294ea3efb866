//! What strace saw of one program, in order: calls with their file, their bytes and their end.

use std::collections::BTreeMap;

/// One system call that worked.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Where its entry stands in the order of everything that was seen.
    pub(crate) begin: usize,
    /// Where its return stands.
    pub(crate) end: usize,
    /// `write`, `fdatasync`, …
    pub(crate) name: String,
    /// The file or socket, as `-y` says.
    pub(crate) file: String,
    /// What was written, as far as the kernel took it.
    pub(crate) bytes: Vec<u8>,
}

impl Call {
    pub(crate) fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fdatasync" | "fsync")
    }

    pub(crate) fn is_socket(&self) -> bool {
        self.file.starts_with("socket:") || self.file.starts_with("TCP")
    }
}

/// Reads the output of `strace -f -y -o FILE`. A call that failed did nothing and is left out; so is one that
/// had not returned when the file was read.
pub(crate) fn read(text: &str) -> Vec<Call> {
    let mut open: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut calls = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            open.insert(pid, (at, start.to_owned()));
        } else if let Some((_, tail)) =
            rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>"))
        {
            let Some((begin, start)) = open.remove(pid) else { continue };
            calls.extend(call(begin, at, &(start + tail)));
        } else {
            calls.extend(call(at, at, rest));
        }
    }
    calls.sort_by_key(|call| call.begin);
    calls
}

fn call(begin: usize, end: usize, text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?; // Padded where the call was interrupted.
    let arguments = arguments.trim_end().strip_suffix(')')?;
    // Such as `4`, `0 (INJECTED)`, `-1 EAGAIN (…)`; a call that strace forged never reached the disk.
    let taken: usize = result.trim().parse().ok()?;
    let (_, rest) = arguments.split_once('<')?;
    let (file, rest) = rest.split_once('>')?;
    // `writev(7<…>, [{iov_base="…", iov_len=3}, …], 2)`: every string that stands there is written.
    let mut bytes = strings(rest);
    bytes.truncate(taken);
    let (name, file) = (name.to_owned(), file.to_owned());
    Some(Call { begin, end, name, file, bytes })
}

/// All quoted strings, one after the other.
fn strings(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some(start) = rest.iter().position(|b| *b == b'"') {
        rest = unquote(&rest[start + 1..], &mut bytes);
    }
    bytes
}

/// One string up to its end; what follows it is returned.
fn unquote<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    loop {
        match rest {
            [] => return rest,
            [b'"', after @ ..] => return after,
            [b'\\', b'0'..=b'7', ..] => {
                let octal = rest[1..].iter().take(3).take_while(|b| (b'0'..=b'7').contains(*b)).count();
                let value = rest[1..=octal].iter().fold(0u32, |value, b| value * 8 + u32::from(b - b'0'));
                out.push(u8::try_from(value).unwrap_or(u8::MAX));
                rest = &rest[1 + octal..];
            }
            [b'\\', escaped, after @ ..] => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    b'f' => 0x0c,
                    other => *other,
                });
                rest = after;
            }
            [byte, after @ ..] => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}

#[test]
fn what_strace_prints_is_read() {
    let text = "10 write(7</d/a \"b>, \"x\\n\\0\\1012\\\"\", 6) = 6\n\
                11 fdatasync(7</d/a> <unfinished ...>\n\
                10 writev(9<socket:[5]>, [{iov_base=\"ab\", iov_len=2}, {iov_base=\"cd\", iov_len=2}], 2) = 3\n\
                11 <... fdatasync resumed>)   = 0\n\
                11 fdatasync(7</d/a>) = 0 (INJECTED)\n\
                11 fdatasync(7</d/a>) = -1 EIO (Input/output error)\n";
    let calls = read(text);
    let seen: Vec<_> = calls.iter().map(|c| (c.begin, c.end, c.name.as_str())).collect();
    assert_eq!(seen, [(0, 0, "write"), (1, 3, "fdatasync"), (2, 2, "writev")]);
    assert_eq!(calls[0].bytes, b"x\n\0A2\"");
    assert_eq!(calls[2].bytes, b"abc");
    assert!(calls[2].is_socket() && calls[1].is_sync());
}
