//! How a call ended, as the server puts it into the block; 0 to 15 are `ipc-core`'s.

use ipc_core::memory::{Lack, NoMemory};

use crate::message::EncodeError;

/// The handler panicked; the reply is its message.
pub(crate) const PANICKED: u16 = 16;
/// The request is invalid, the handler has not run; the reply says why.
pub(crate) const REJECTED: u16 = 17;
/// The handler ran, its result cannot be sent; the reply says why.
pub(crate) const RESULT: u16 = 18;
/// The server does not take the call on, the handler has not run; the reply says which limit it has reached.
pub(crate) const BUSY: u16 = 19;
/// The handler ran, there is no memory for its result; the reply says how much is wanted, in use, and allowed.
pub(crate) const NO_MEMORY: u16 = 20;

/// What is said of a result that cannot be sent.
pub(crate) fn of(error: &EncodeError) -> (u16, String) {
    match error {
        EncodeError::OutOfMemory(NoMemory { lack, wanted, used, allowed }) => {
            let lack = match lack {
                Lack::System(error) => *error,
                Lack::Space => SPACE,
                _ => QUOTA,
            };
            (NO_MEMORY, format!("{lack} {wanted} {used} {allowed}"))
        }
        error => (RESULT, error.to_string()),
    }
}

// Where else the number of an error of the system is.
const QUOTA: i32 = 0;
const SPACE: i32 = -1;

/// What was said with [`NO_MEMORY`]. Nothing is known if there was no room to say it.
pub(crate) fn no_memory(text: &str) -> NoMemory {
    let mut words = text.split(' ');
    let lack = match words.next().and_then(|word| word.parse().ok()) {
        Some(QUOTA) => Lack::Quota,
        Some(error) if error > 0 => Lack::System(error),
        _ => Lack::Space,
    };
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    NoMemory { lack, wanted: number(), used: number(), allowed: number() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_memory_is_understood() {
        for lack in [Lack::Quota, Lack::Space, Lack::System(28)] {
            let none = NoMemory { lack, wanted: 1 << 30, used: 3, allowed: u64::MAX };
            let (status, text) = of(&EncodeError::OutOfMemory(none));
            assert_eq!((status, no_memory(&text)), (NO_MEMORY, none));
        }
        for nonsense in ["", "-7 x 99999999999999999999999", "0", " "] {
            assert_eq!(no_memory(nonsense).wanted, 0);
        }
    }
}
