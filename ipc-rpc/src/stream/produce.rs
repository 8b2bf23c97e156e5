//! What makes the items of an output stream, without their type.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ipc_core::layout::REPLIED;

use super::wire::{self, ENDED, FAILED, Place};
use crate::message::Message;
use crate::status;

/// Makes one item after the other and writes it where the answer goes.
pub(crate) trait Produce: Send {
    /// The status of the answer and its bytes; any other than [`REPLIED`] is the last one. Does not unwind.
    fn produce(&mut self, place: &mut dyn Place) -> (u16, usize);
}

/// The items of an iterator, or the reason why there are no more.
pub(crate) struct Items<T>(pub(crate) Box<dyn Iterator<Item = Result<T, String>> + Send>);

impl<T: Message> Produce for Items<T> {
    fn produce(&mut self, place: &mut dyn Place) -> (u16, usize) {
        match catch_unwind(AssertUnwindSafe(|| self.0.next())) {
            Ok(Some(Ok(item))) => match catch_unwind(AssertUnwindSafe(|| {
                let item = item; // Dropped in here: that is the user's code too.
                wire::write(&item, place)
            })) {
                Ok(Ok(len)) => (REPLIED, len),
                Ok(Err(error)) => wire::cannot(&error, place),
                Err(panic) => wire::say(status::PANICKED, &message_of(panic), place),
            },
            Ok(Some(Err(reason))) => wire::say(FAILED, &reason, place),
            Ok(None) => (ENDED, 0),
            Err(panic) => wire::say(status::PANICKED, &message_of(panic), place),
        }
    }
}

/// Drops what may be a user's, whatever it does.
pub(crate) fn discard<T>(what: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(what))) {
        let _ = message_of(panic);
    }
}

/// What a panic said. Dropping a payload can panic itself, so payloads that are no text are leaked.
#[cold]
pub(crate) fn message_of(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<&'static str>() {
        Ok(text) => text.to_string(),
        Err(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(other) => {
                std::mem::forget(other);
                String::from("the panic carries no text")
            }
        },
    }
}
