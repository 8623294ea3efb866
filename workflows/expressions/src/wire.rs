//! The frames between a worker and its parent: four bytes of length, then JSON.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ExprError;

/// Bytes that a frame may have: an input, its variables and the source.
pub(crate) const FRAME_MAX: usize = 32 << 20;

#[derive(Serialize)]
pub(crate) struct Ask<'a> {
    pub(crate) source: &'a str,
    pub(crate) vars: &'a [(&'a str, &'a Value)],
    pub(crate) input: &'a Value,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    pub(crate) source: String,
    pub(crate) vars: Vec<(String, Value)>,
    pub(crate) input: Value,
}

pub(crate) type Answer = Result<Value, ExprError>;

/// A frame's bytes.
pub(crate) fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - 4;
    let head = u32::try_from(length).ok().filter(|_| length <= FRAME_MAX);
    let head = head.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the message is too large"))?;
    bytes[..4].copy_from_slice(&head.to_be_bytes());
    Ok(bytes)
}

/// The length that a frame's head says.
pub(crate) fn length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(head) as usize;
    if length > FRAME_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too large"));
    }
    Ok(length)
}

/// Reads one frame; nothing at the end of the stream.
pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body)?;
    Ok(Some(body))
}

/// Writes one frame.
pub(crate) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&frame(message)?)?;
    to.flush()
}
