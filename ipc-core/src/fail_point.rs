//! Named steps of the protocol, at which a test has its own process stop or die.
//!
//! A process can be killed at any instruction, but at random moments most of the time it is killed where nothing is under
//! way. With the feature `fail-points` each step calls what the test has set (`on_pass`); without it, as in every normal
//! build, `fail_point!` is nothing at all.
#[cfg(feature = "fail-points")]
pub use here::{Point, Side, on_pass, pass};

/// This process passes a step: `fail_point!(Lent)`.
#[cfg(feature = "fail-points")]
#[doc(hidden)]
#[macro_export]
macro_rules! fail_point {
    ($point:ident) => {
        $crate::fail_point::pass($crate::fail_point::Point::$point)
    };
}

/// Nothing: the feature `fail-points` is off.
#[cfg(not(feature = "fail-points"))]
#[doc(hidden)]
#[macro_export]
macro_rules! fail_point {
    ($point:ident) => {};
}

#[cfg(feature = "fail-points")]
mod here {
    use std::sync::OnceLock;

    /// Which processes pass a step.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Side {
        /// Clients, and servers that call objects of their clients.
        Both,
        /// Clients.
        Client,
        /// Servers.
        Server,
    }

    macro_rules! points {
        ($($(#[$doc:meta])* $point:ident: $side:ident,)*) => {
            /// A step. What its name says has just been done.
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum Point { $($(#[$doc])* $point,)* }

            impl Point {
                /// All of them.
                pub const ALL: &[Point] = &[$(Point::$point),*];

                /// Who passes it.
                pub fn side(self) -> Side {
                    match self { $(Point::$point => Side::$side),* }
                }
            }
        };
    }

    points! {
        // The handshake.
        /// The socket of a server has its file, and nobody listens.
        SocketBound: Server,
        /// Somebody listens; the folder is locked.
        Listening: Server,
        /// Connected, nothing said.
        Connected: Client,
        /// The other side has accepted a connection.
        Accepted: Both,
        /// The first packet is sent, with the memory.
        HelloSent: Both,
        /// It is read.
        HelloRead: Both,
        /// The channel is known to the workers, and no answer is sent.
        ChannelMade: Both,
        /// The answer is sent.
        WelcomeSent: Both,
        /// It is read.
        WelcomeRead: Both,

        /// A call has found its connection at the end, and another one is about to be made.
        Dialling: Client,
        /// It is made, and those who wait are not told.
        ConnectionReplaced: Client,

        // The caller.
        /// A block is taken from the pool.
        BlockTaken: Both,
        /// The request needs an extent, and has it.
        RequestExtent: Both,
        /// The head of the block is written.
        RequestWritten: Both,
        /// C1: the block is lent, and nothing pushed.
        Lent: Both,
        /// C2: a position of the queue is reserved, its cell not written.
        CellReserved: Both,
        /// C2: the cell is written.
        CellWritten: Both,
        /// The sleep flag of the other side is down, and the doorbell not rung.
        FlagCleared: Both,
        /// The doorbell is rung.
        Rung: Both,
        /// A push that is to be rung for later is noted.
        Quiet: Both,
        /// C3: the caller has said that it sleeps, and does not yet.
        Parking: Both,
        /// It was woken, or is about to see that it need not sleep.
        Unparked: Both,
        /// C4: the answer was seen, and not read.
        AnswerSeen: Both,
        /// The answer was read, its block not home.
        AnswerRead: Both,
        /// C3: an announcement is asked for.
        AnnouncementDue: Both,
        /// It was popped.
        AnnouncementPopped: Both,
        /// C3: a call is cancelled, its block not among the zombies.
        CallCancelled: Both,
        /// A call nobody waits for is among the zombies.
        CallDetached: Both,
        /// A block was lent once more to give the memory of its reply back.
        ReplyReleased: Both,
        /// A block that its callee keeps is noted as such.
        BlockKept: Client,
        /// The callee does not keep it any more, and it is not home.
        BlockReleased: Client,
        /// The end of the other side is noted, and nobody was told.
        EndNoted: Both,
        /// Everybody was told.
        EndTold: Both,

        // The callee.
        /// The scanner role is taken.
        RoleTaken: Both,
        /// S1: a request is found, and not taken.
        RequestFound: Both,
        /// S1: `taken` is stored.
        Taken: Both,
        /// The role is given up, the handler not begun.
        RoleGivenUp: Both,
        /// The handler has ended.
        HandlerEnded: Both,
        /// The reply needs an extent, and has it.
        ReplyExtent: Both,
        /// The reply is complete.
        ReplyWritten: Both,
        /// S2: the block is given back, and nobody woken or told.
        Answered: Both,
        /// The caller was woken.
        CallerWoken: Both,
        /// The role is won back, the word not in the watch set.
        RoleWonBack: Both,
        /// S3: a promise to watch is taken back.
        Unwatched: Both,
        /// Deferred: the call is left to a future.
        CallDeferred: Both,
        /// S2 by a future.
        AnsweredLate: Both,
        /// A call is refused.
        CallRefused: Both,
        /// The answer is going to say that the request is kept.
        RequestKept: Server,
        /// A kept request is let go of, and its caller not told.
        KeptDropped: Server,
        /// The memory of a reply is free.
        ReplyFreed: Both,
        /// All sleep flags are raised, and nobody has looked again.
        FlagsRaised: Both,
        /// About to sleep in the kernel.
        Sleeping: Both,
        /// Awake.
        Awake: Both,
        /// A hang-up is read, the channel not yet left alone.
        HangUpRead: Both,
        /// A channel is not looked at any more.
        ChannelRetired: Both,

        // Streams.
        /// The server knows a stream, its client not.
        OutputRegistered: Server,
        /// A credit is lent.
        CreditLent: Client,
        /// A credit is answered with an item, out of the handler's turn.
        CreditAnswered: Server,
        /// The input of a call is announced.
        InputAnnounced: Client,
        /// The server knows the input.
        InputRegistered: Server,
        /// An item is lent.
        ItemLent: Client,
        /// An item is read.
        ItemRead: Server,
        /// The end of an input, or that a stream is given up, is said.
        StreamWordSent: Client,
        /// A stream is closed by its client.
        StreamClosed: Server,

        // Callbacks.
        /// An object has a number, and no call has it.
        ObjectLent: Client,
        /// An object is taken back.
        ObjectTakenBack: Client,
        /// The channel back is open.
        LineOpened: Server,
        /// The client is asked to keep an object.
        KeepSent: Server,
        /// It keeps it.
        KeepHeard: Client,
        /// The client is told that an object is released.
        ReleasedSent: Server,
        /// It has released it.
        ReleasedHeard: Client,
    }

    static HOOK: OnceLock<fn(Point)> = OnceLock::new();

    /// Has every thread of this process call `hook` at each step from now on.
    pub fn on_pass(hook: fn(Point)) {
        let _ = HOOK.set(hook);
    }

    /// A step.
    pub fn pass(point: Point) {
        if let Some(hook) = HOOK.get() {
            hook(point);
        }
    }
}
