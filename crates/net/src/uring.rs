//! Many sends in one system call: io_uring as a batch of `sendmsg`.
//!
//! The only module with unsafe code. It offers a safe function: everything that is lent to the
//! kernel is borrowed for as long as the call lasts, and the call lasts until the kernel is done.
//! That is no wait, since each send is told not to wait for its socket.
#![allow(unsafe_code)] // io_uring takes addresses; each block says why they hold

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use io_uring::{IoUring, Probe, opcode, types};

/// Sends of one system call at most: the rings' size. More per call gains nothing measurable.
pub(crate) const BATCH: usize = 256;

/// System calls that may fail in a row before the kernel is given up. Interrupted ones, or those
/// for which memory is short for a moment, succeed when they are repeated.
const MAX_FAILURES: u32 = 1000;

/// What is to be sent on a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) socket: BorrowedFd<'a>,
    pub(crate) slices: &'a [IoSlice<'a>],
}

/// An io_uring of one thread.
pub(crate) struct Uring {
    ring: IoUring,
    headers: Vec<libc::msghdr>,
}

impl Uring {
    /// Sets the rings up on the current thread, which alone may use them.
    ///
    /// # Errors
    /// The system's, above all where io_uring is forbidden, as it is in many containers.
    pub(crate) fn new() -> io::Result<Self> {
        let entries = u32::try_from(BATCH).unwrap_or(u32::MAX);
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .build(entries)
            // Kernels before 6.0 know no such hints.
            .or_else(|_| IoUring::new(entries))?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::SendMsg::CODE) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self { ring, headers: Vec::with_capacity(BATCH) })
    }

    /// Sends as much of each message as its socket takes at once, and tells what became of it:
    /// the message's index, and the bytes taken or the error, [`io::ErrorKind::WouldBlock`] among
    /// them. Messages beyond [`BATCH`] are not looked at.
    pub(crate) fn send(
        &mut self,
        messages: &[Message<'_>],
        mut tell: impl FnMut(usize, io::Result<usize>),
    ) {
        let messages = messages.get(..BATCH).unwrap_or(messages);
        self.headers.clear();
        self.headers.extend(messages.iter().map(|message| header(message.slices)));
        let mut submitted = 0;
        for (index, (message, header)) in messages.iter().zip(&self.headers).enumerate() {
            let socket = types::Fd(message.socket.as_raw_fd());
            let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL).unsigned_abs();
            let entry = opcode::SendMsg::new(socket, ptr::from_ref(header)).flags(flags).build();
            // SAFETY: the header is not touched before the end of this function, and what it
            // points to is borrowed by it. The function returns when there is a completion for
            // each entry, so the kernel uses neither later. The descriptor is borrowed likewise.
            let pushed = unsafe {
                self.ring.submission().push(&entry.user_data(index.try_into().unwrap_or(u64::MAX)))
            };
            // The queue has room for BATCH, and is empty at the beginning.
            debug_assert!(pushed.is_ok());
            submitted += usize::from(pushed.is_ok());
        }
        self.complete(submitted, &mut tell);
    }

    /// Submits, and waits until everything has completed.
    fn complete(&mut self, count: usize, tell: &mut impl FnMut(usize, io::Result<usize>)) {
        let (mut completed, mut failures) = (0, 0);
        while completed < count {
            match self.ring.submit_and_wait(count - completed) {
                Ok(_) => failures = 0,
                Err(error) => {
                    failures += 1;
                    if failures > MAX_FAILURES {
                        // The kernel may still hold addresses that are about to become invalid.
                        tracing::error!(%error, "io_uring fails for good");
                        std::process::abort();
                    }
                }
            }
            for entry in self.ring.completion() {
                completed += 1;
                let result = usize::try_from(entry.result())
                    .map_err(|_| io::Error::from_raw_os_error(-entry.result()));
                tell(usize::try_from(entry.user_data()).unwrap_or(usize::MAX), result);
            }
        }
    }
}

/// What `sendmsg` takes.
fn header(slices: &[IoSlice<'_>]) -> libc::msghdr {
    // SAFETY: all fields are integers or pointers, for which zero is a value: no address, no
    // control data, no flags.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    // IoSlice is guaranteed to have the layout of iovec; sendmsg writes to neither.
    header.msg_iov = slices.as_ptr().cast_mut().cast();
    // An int with some C libraries: neither is exceeded by what a cursor lines up.
    header.msg_iovlen = slices.len() as _;
    header
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    /// A pair of connected sockets; the first does not block.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).expect("a connection");
        let (server, _) = listener.accept().expect("a connection");
        server.set_nonblocking(true).expect("an option");
        (server, client)
    }

    fn send(uring: &mut Uring, messages: &[Message<'_>]) -> Vec<io::Result<usize>> {
        let mut results: Vec<_> = messages.iter().map(|_| Ok(usize::MAX)).collect();
        uring.send(messages, |index, result| results[index] = result);
        results
    }

    #[test]
    fn many_sockets_get_their_slices_in_order() {
        let mut uring = Uring::new().expect("io_uring is allowed");
        let mut pairs: Vec<_> = (0..BATCH).map(|_| pair()).collect();
        let (common, numbers) = (b"common".to_vec(), (0..=255).collect::<Vec<u8>>());
        for _ in 0..3 {
            let slices: Vec<_> = numbers
                .iter()
                .map(|n| [IoSlice::new(&common), IoSlice::new(std::slice::from_ref(n))])
                .collect();
            let messages: Vec<_> = pairs
                .iter()
                .zip(&slices)
                .map(|((server, _), slices)| Message { socket: server.as_fd(), slices })
                .collect();
            for result in send(&mut uring, &messages) {
                assert_eq!(result.expect("the socket takes a little"), common.len() + 1);
            }
        }
        for ((_, client), number) in pairs.iter_mut().zip(&numbers) {
            let mut got = [0; 21];
            client.read_exact(&mut got).expect("three messages");
            assert_eq!(got, [&common[..], &[*number]].concat().repeat(3)[..]);
        }
    }

    #[test]
    fn full_sockets_take_a_part_and_then_nothing() {
        let mut uring = Uring::new().expect("io_uring is allowed");
        let ((full, mut slow), (quick, _client)) = (pair(), pair());
        let bytes: Vec<u8> = (0..32 << 20).map(|i: u32| i.to_le_bytes()[1]).collect();
        let big = [IoSlice::new(&bytes)];
        let little = [IoSlice::new(b"little")];
        let first = Message { socket: full.as_fd(), slices: &big };
        let second = Message { socket: quick.as_fd(), slices: &little };
        let results = send(&mut uring, &[first, second]);
        let taken = *results[0].as_ref().expect("a part");
        assert!(taken > 0 && taken < bytes.len(), "{taken}");
        assert_eq!(*results[1].as_ref().expect("all"), 6);
        let blocked = &send(&mut uring, &[first])[0];
        assert!(blocked.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock));
        let mut got = vec![0; taken];
        slow.read_exact(&mut got).expect("what was taken");
        assert_eq!(got, bytes[..taken]);
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_of_its_own() {
        let mut uring = Uring::new().expect("io_uring is allowed");
        let ((broken, gone), (whole, _client)) = (pair(), pair());
        drop(gone);
        let slices = [IoSlice::new(b"hello")];
        let message = |socket| Message { socket, slices: &slices };
        let mut failed = false;
        for _ in 0..1000 {
            let results = send(&mut uring, &[message(broken.as_fd()), message(whole.as_fd())]);
            assert_eq!(*results[1].as_ref().expect("it is not concerned"), 5);
            failed |= results[0].is_err();
        }
        assert!(failed, "a closed socket takes bytes for ever");
    }
}
