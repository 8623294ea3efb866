//! What a script writes: the last 64 KiB are kept, the rest is counted.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::outcome::Output;

/// How much of a stream is kept, in bytes.
const KEPT: usize = 64 * 1024;

/// How much is still read after the script's end, in bytes: a daemon that goes on writing must not keep us.
const AFTER_THE_END: usize = 1024 * 1024;

/// One output stream of a script, read without waiting.
pub(super) struct Capture {
    pipe: Option<PipeReader>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Capture {
    pub(super) fn new(pipe: PipeReader) -> io::Result<Capture> {
        let flags = fcntl_getfl(&pipe)?;
        fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        Ok(Capture { pipe: Some(pipe), tail: VecDeque::new(), dropped: 0 })
    }

    /// What to poll; nothing after the end of file.
    pub(super) fn fd(&self) -> Option<impl AsFd + '_> {
        self.pipe.as_ref()
    }

    /// Reads what is there, at most 1 MiB.
    pub(super) fn read_available(&mut self) {
        let mut buffer = [0; 32 * 1024];
        let mut left = AFTER_THE_END;
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(got) => {
                    self.keep(&buffer[..got]);
                    left = left.saturating_sub(got);
                    if left == 0 {
                        return;
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.tail.extend(bytes);
        let over = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..over);
        self.dropped += over as u64;
    }

    /// What was kept, and the pipe if somebody still holds its other end.
    pub(super) fn finish(mut self) -> (Output, Option<PipeReader>) {
        self.read_available();
        let bytes: Vec<u8> = self.tail.into();
        let output = Output { text: String::from_utf8_lossy(&bytes).into_owned(), dropped: self.dropped };
        (output, self.pipe)
    }
}
