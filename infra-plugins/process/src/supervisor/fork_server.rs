//! The process that supervisors are forked from, as it is executed.

use std::fs::OpenOptions;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use fork::Fork;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use signal_hook::low_level;

use super::{orphans, termination};
use crate::{cgroup, oom, procfs};

/// The argument with which a supervisor's program is one.
pub(crate) const FORK_SERVER: &str = "fork-server";

/// What a process is that returns from [`serve`].
pub(super) enum Role {
    /// It was forked to be a supervisor, and has the streams of one.
    Supervisor,
    /// Nobody can ask it for anything any more.
    Over,
}

/// Whether the arguments ask for one.
pub(super) fn is_asked_for() -> bool {
    std::env::args().next_back().is_some_and(|last| last == FORK_SERVER)
}

/// Forks a process for each request until nobody can ask any more. A request that cannot be met is dropped with its descriptors:
/// whoever asked sees the end of its pipes.
pub(super) fn serve() -> io::Result<Role> {
    rustix::thread::set_name(c"worker-forks").unwrap_or_default();
    let channel = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(OpenOptions::new().read(true).open("/dev/null")?)?;
    let (mut ended, on_end) = UnixStream::pair()?;
    ended.set_nonblocking(true)?;
    let handler = termination::tell_of_children(on_end)?;
    // Read here, they are not read again in each supervisor.
    let _known = (procfs::boot_id(), cgroup::own_directory(), oom::around());
    loop {
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        // Interrupted or not, both are looked at.
        poll(&mut [readable(channel.as_fd()), readable(ended.as_fd())], None).unwrap_or_default();
        orphans::reap(&mut ended);
        let (spec, answer) = match receive(&channel) {
            Ok(Request::Fork(spec, answer)) => (spec, answer),
            Ok(Request::None) => continue,
            Ok(Request::Over) | Err(_) => return Ok(Role::Over),
        };
        // Safe to go on with whatever it likes: this process never has a second thread.
        if let Ok(Fork::Child) = fork::fork() {
            low_level::unregister(handler);
            rustix::stdio::dup2_stdin(spec)?;
            rustix::stdio::dup2_stdout(answer)?;
            return Ok(Role::Supervisor);
        }
    }
}

enum Request {
    /// A supervisor, with these for its standard input and output.
    Fork(OwnedFd, OwnedFd),
    None,
    Over,
}

fn receive(channel: &OwnedFd) -> io::Result<Request> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = match recvmsg(channel, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags) {
        Ok(received) => received,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(Request::None),
        Err(errno) => return Err(errno.into()),
    };
    if received.bytes == 0 {
        return Ok(Request::Over);
    }
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    let mut descriptors = descriptors.into_iter();
    Ok(match (descriptors.next(), descriptors.next()) {
        (Some(spec), Some(answer)) => Request::Fork(spec, answer),
        // The system had no room for them.
        _ => Request::None,
    })
}
