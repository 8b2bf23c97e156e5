//! The calls of a service, recorded where they are served, and made again. Needs the feature `dynamic`, in the server too.
//!
//! A [`Recorder`] has a server append each call of one service to a file until it is stopped or gone. While somebody records,
//! calls take the long way through the server, some microseconds longer; at other times recording costs nothing. A
//! [`Recording`] reads such a file, [`replay`] makes its calls again and compares the replies.
//!
//! A recording has the arguments and replies of all clients in it, and their metadata but for `authorization`, so that no secret
//! of [`Authenticate`](crate::intercept::Authenticate) gets into a file: give the file to nobody who may not see the rest. Who
//! records is the server's own user, or root, in no other container than the server.
//!
//! What a call refers to outside of its message (loans, descriptors) is not recorded: its arguments or its reply cannot be
//! read, and it is left out when it is replayed.
//!
//! ```
//! use std::time::Duration;
//! use ipc_rpc::dynamic::DynamicClient;
//! use ipc_rpc::record::{Pace, Recorder, Recording, replay};
//! use ipc_rpc::{ClientConfig, Server, service};
//! use serde_json::json;
//!
//! #[service]
//! pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
//! struct Adder;
//! impl Calc for Adder {
//!     fn add(&self, a: u64, b: u64) -> u64 { a + b }
//! }
//!
//! # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-record-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let name = folder.join("calc.sock").display().to_string();
//! # let path = folder.join("calc.record");
//! # let server = Server::bind(&name)?;
//! # let handle = server.handle();
//! # let serving = std::thread::spawn(|| server.serve(CalcDispatcher::new(Adder)));
//! let calc = CalcClient::connect(&name)?;
//! let recorder = Recorder::start(&name, "Calc", std::fs::File::create(&path)?, 1 << 20, Duration::from_secs(5))?;
//! calc.add(2, 3)?;
//! assert!(recorder.wait(Duration::ZERO)?.is_none()); // it goes on
//! assert_eq!(recorder.stop(Duration::from_secs(5))?.calls, 1);
//!
//! let mut recording = Recording::read(std::fs::File::open(&path)?)?;
//! let call = recording.next().unwrap()?;
//! assert_eq!(recording.method(&call).unwrap().name, "add");
//! assert_eq!(recording.arguments(&call)?, json!({"a": 2, "b": 3}));
//! assert!(call.is_replied());
//! assert_eq!(recording.reply(&call)?, json!(5));
//! assert!(recording.next().is_none());
//! assert_eq!(recording.end().unwrap().left_out, 0);
//! assert_eq!(recording.service().name, recording.description().services[0].name);
//!
//! let mut recording = Recording::read(std::fs::File::open(&path)?)?;
//! let again = DynamicClient::ask(&name, "Calc", &ClientConfig::default())?;
//! let replayed = replay(&mut recording, &again, Pace::AtOnce)?;
//! assert_eq!((replayed.sent, replayed.same), (1, 1));
//! assert!(replayed.unlike.is_empty());
//! # handle.shutdown();
//! # serving.join().unwrap()?;
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(not(feature = "dynamic"))]
mod absent;
#[cfg(feature = "dynamic")]
mod file;
#[cfg(feature = "dynamic")]
mod recorder;
#[cfg(feature = "dynamic")]
mod replay;
#[cfg(feature = "dynamic")]
mod taking;

#[cfg(not(feature = "dynamic"))]
pub(crate) use absent::{Recordings, Taken};
#[cfg(feature = "dynamic")]
pub use file::{RecordEnd, RecordedCall, Recording};
#[cfg(feature = "dynamic")]
pub use recorder::Recorder;
#[cfg(feature = "dynamic")]
pub use replay::{Pace, Replayed, Unlike, replay};
#[cfg(feature = "dynamic")]
pub(crate) use taking::{Recordings, Taken};
