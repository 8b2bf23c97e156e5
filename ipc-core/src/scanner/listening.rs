//! What a worker does with what the kernel reports: doorbells, hang-ups, ticks, and connections on their way to a channel.
//!
//! Any worker may do this, with the role or without it; what the holder of the role has to know is left for it as a change.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, PoisonError};

use super::{Change, Connection, LISTENER, STOP, Shared, TICK, WAKE};
use crate::callee::{Channel, Handler};
use crate::clock;
use crate::poll::Ready;
use crate::socket::{self, Drained};
use crate::sync::{MutexGuard, Ordering};

/// Connections that have not said hello yet.
const MAX_GREETINGS: usize = 64;

impl<H: Handler> Shared<H> {
    /// Waits in the kernel and deals with what it reports. `true`: nothing but a tick.
    pub(super) fn listen(&self, milliseconds: Option<u32>) -> bool {
        let mut only_tick = true;
        let holds_role = milliseconds.is_some();
        let count = self.poll.wait(milliseconds, |ready| {
            only_tick &= ready.id == TICK;
            match ready.id {
                LISTENER => self.accept(holds_role),
                TICK => self.tick.heard(),
                STOP | WAKE => {}
                _ => self.heard(ready),
            }
        });
        only_tick && count > 0
    }

    fn accept(&self, holds_role: bool) {
        let Some(listener) = &self.listener else { return };
        loop {
            match socket::accept(listener.as_fd()) {
                // One that cannot be watched is closed; those behind it are reported no second time.
                Ok(Some(socket)) => _ = self.greet_later(socket),
                Ok(None) => return,
                Err(_) => {
                    // No descriptors left. The connection stays in the backlog; look again when some may be free, but let
                    // nobody wait meanwhile who is connected.
                    if !holds_role {
                        clock::pause(std::time::Duration::from_millis(10));
                    }
                    let _ = self.poll.again(listener.as_fd(), LISTENER);
                    return;
                }
            }
        }
    }

    pub(super) fn greet_later(&self, socket: OwnedFd) -> io::Result<()> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut connections = self.connections();
        let waiting = |c: &Connection<H::Peer>| matches!(c, Connection::Greeting(_));
        if connections.values().filter(|c| waiting(c)).count() >= MAX_GREETINGS {
            // Somebody connects and says nothing, again and again: the oldest has had its time.
            let oldest = connections.iter().filter(|(_, c)| waiting(c)).map(|(id, _)| *id).min();
            oldest.and_then(|id| connections.remove(&id));
        }
        let added = self.poll.add(socket.as_fd(), id);
        if added.is_ok() {
            crate::fail_point!(Accepted);
            connections.insert(id, Connection::Greeting(socket));
        }
        added
    }

    /// The socket of a connection has something to say.
    fn heard(&self, ready: Ready) {
        let mut connections = self.connections();
        match connections.get(&ready.id) {
            Some(Connection::Channel(channel)) => {
                let channel = channel.clone();
                drop(connections);
                if ready.hung_up {
                    crate::fail_point!(HangUpRead);
                    self.change(Change::HungUp(ready.id));
                } else if !channel.rung.swap(true, Ordering::Relaxed) {
                    self.rung().push(channel.clone());
                }
                let since = self.asleep_since.load(Ordering::Relaxed);
                let woken = channel.segment.callee_flags().woken_at.load(Ordering::Relaxed);
                if since != 0 && woken >= since {
                    self.gap.learn(woken - since);
                }
            }
            Some(Connection::Greeting(_) | Connection::Asking(_)) => {
                let connection = connections.remove(&ready.id);
                drop(connections);
                match connection {
                    Some(Connection::Greeting(socket)) => self.greet(ready.id, socket, Connection::Greeting),
                    Some(Connection::Asking(socket)) => self.greet(ready.id, socket, Connection::Asking),
                    _ => {}
                }
            }
            None => {}
        }
    }

    /// Empties the doorbells that have been heard. For the holder of the role before it raises the sleep flags: it looks at
    /// the queues after that, so a ring that is lost here has nothing new to say. Until then nobody waits for it.
    pub(super) fn empty_doorbells(&self) {
        let rung = std::mem::take(&mut *self.rung());
        for channel in rung {
            channel.rung.store(false, Ordering::Relaxed);
            match channel.lane.empty(channel.socket()).0 {
                Drained::Broken(why) => channel.condemn(why),
                Drained::HungUp => self.change(Change::HungUp(channel.id)),
                Drained::Quiet => {}
                Drained::More => {
                    let _ = self.poll.again(channel.socket(), channel.id);
                }
            }
        }
    }

    fn rung(&self) -> MutexGuard<'_, Vec<Arc<Channel<H::Peer>>>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first packet of a connection has come, or a further one; without any it is kept as it was.
    fn greet(&self, id: u64, socket: OwnedFd, as_it_was: fn(OwnedFd) -> Connection<H::Peer>) {
        let (hello, descriptors) = match socket::receive(socket.as_fd()) {
            Ok(received) => received,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                return self.keep(id, as_it_was(socket));
            }
            Err(_) => return,
        };
        if hello.is_empty() {
            return;
        }
        crate::fail_point!(HelloRead);
        // One after the other, so that a limit on the number of channels holds.
        let _one = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut descriptors = descriptors;
        if let Some(answer) = self.handler.answers(&hello, &mut descriptors, socket.as_fd()) {
            let along: Vec<_> = answer.descriptors.iter().map(AsFd::as_fd).collect();
            let _ = socket::send_all(socket.as_fd(), &answer.packet, &along);
            let kept = if answer.stays { Connection::Asking } else { Connection::Greeting };
            return self.keep(id, kept(socket));
        }
        if let Some(answer) = self.handler.hands_over(&hello, socket.as_fd()) {
            return self.hand_over(id, socket, answer);
        }
        let greeting = self.handler.greet(&hello, descriptors, socket.as_fd(), self.alive());
        let Some((segment, peer)) = greeting.accepted else {
            let _ = socket::send(socket.as_fd(), &greeting.answer, None);
            // Not closed before the peer has read the answer: it hangs up, or is the oldest some day.
            return self.keep(id, Connection::Greeting(socket));
        };
        let channel =
            Channel::new(segment, socket, id, peer, &self.handler.memory(), self.wake.clone(), self.statistics.clone());
        if self.handler.may_borrow(&channel.peer) {
            channel.allow_loans();
        }
        self.remember(&channel);
        // Under one lock, so that whoever hears the hang-up of this channel puts it behind the addition.
        let mut connections = self.connections();
        connections.insert(id, Connection::Channel(channel.clone()));
        self.change(Change::Add(channel.clone()));
        drop(connections);
        crate::fail_point!(ChannelMade);
        // A peer that is gone meanwhile has hung up, which is reported below.
        let _ = socket::send(channel.socket(), &greeting.answer, None);
        crate::fail_point!(WelcomeSent);
        // What happened on the socket while it was in no list was reported in vain: report it once more.
        let _ = self.poll.again(channel.socket(), id);
    }

    /// Gives the listener to the process at the other end of `socket`. Whoever is in its backlog comes to that one.
    fn hand_over(&self, id: u64, socket: OwnedFd, answer: Result<Vec<u8>, Vec<u8>>) {
        let answer = match (&self.listener, answer) {
            (Some(listener), Ok(answer)) => {
                if socket::send(socket.as_fd(), &answer, Some(listener.as_fd())).is_ok() {
                    self.poll.remove(listener.as_fd());
                    self.handler.handed_over();
                }
                return;
            }
            (None, Ok(_)) => return,
            (_, Err(refusal)) => refusal,
        };
        let _ = socket::send(socket.as_fd(), &answer, None);
        self.keep(id, Connection::Greeting(socket));
    }

    /// Keeps a connection that has not become a channel, and has its state reported once more.
    fn keep(&self, id: u64, connection: Connection<H::Peer>) {
        let mut connections = self.connections();
        if let Connection::Greeting(socket) | Connection::Asking(socket) = &connection {
            let _ = self.poll.again(socket.as_fd(), id);
        }
        connections.insert(id, connection);
    }
}
