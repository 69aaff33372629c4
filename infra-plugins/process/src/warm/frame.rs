//! How a zygote and what it forks are spoken with: JSON after its length.

use std::io::{self, IoSlice, Read, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longer than anything that is said.
const LONGEST: u32 = 4 << 20;

/// The most descriptors that go with a message.
const DESCRIPTORS: usize = 3;

/// A message as it is sent.
pub(crate) fn of(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), text.as_slice()].concat())
}

/// Sends a message, and descriptors with it. Where it may not wait and would have to, what was sent is of no use.
pub(crate) fn send(channel: &UnixStream, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = of(message)?;
    let sent = send_with(channel, &bytes, descriptors)?;
    (&*channel).write_all(bytes.get(sent..).unwrap_or_default())
}

/// Sends descriptors with a byte that says nothing.
pub(crate) fn send_descriptors(channel: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_with(channel, &[0], descriptors).map(drop)
}

fn send_with(channel: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(channel, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

/// Waits for a message.
pub(crate) fn receive<T: DeserializeOwned>(channel: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    channel.read_exact(&mut length)?;
    let mut text = vec![0; size(length)?];
    channel.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// How many bytes follow.
pub(crate) fn size(length: [u8; 4]) -> io::Result<usize> {
    match u32::from_be_bytes(length) {
        length if length <= LONGEST => usize::try_from(length).map_err(io::Error::other),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_as_it_was_sent_and_nonsense_is_not_made_room_for() {
        let (near, mut far) = UnixStream::pair().unwrap();
        send(&near, &["a", "b"], &[]).unwrap();
        assert_eq!(receive::<Vec<String>>(&mut far).unwrap(), ["a", "b"]);
        (&near).write_all(&[0xff; 8]).unwrap();
        assert_eq!(receive::<Vec<String>>(&mut far).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
