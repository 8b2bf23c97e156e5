//! Descriptors: files, sockets, pipes. What lies in a message is the number of one that came along.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts.

use std::any::TypeId;
use std::fs::File;
use std::io::{PipeReader, PipeWriter};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use ipc_core::lane;
use rkyv::bytecheck::CheckBytes;
use rkyv::rend::u32_le;
use rkyv::{Place, Portable};

use super::super::{Argument, Checker, Desc, Elements, EncodeError, Encoder, Kind, Message, MessageError};

/// A descriptor, a file or a socket in a message that is read in place.
///
/// There is nothing to be read of it where it lies. Take it as an owned argument (`file: OwnedFd`, `file: &File`, or a struct
/// that has one), or ask [`Reply::to_owned`](crate::Reply::to_owned) for it.
///
/// ```
/// use std::fs::File;
/// use std::io::Read;
/// use ipc_rpc::{service, testing};
///
/// #[service]
/// pub trait Drawer { fn open(&self) -> File; }
/// struct Desk;
/// impl Drawer for Desk {
///     fn open(&self) -> File { File::open("Cargo.toml").unwrap() }
/// }
///
/// let (drawer, _server) = testing::pair(DrawerDispatcher::new(Desk))?;
/// let reply = drawer.view().open()?; // in place there is only a `Descriptor`
/// let (mut file, mut text) = (reply.to_owned()?, String::new());
/// file.read_to_string(&mut text)?;
/// assert!(text.contains("[package]"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Descriptor(u32_le);

// SAFETY: transparent over a portable type.
unsafe impl Portable for Descriptor {}

// SAFETY: every number is one; whether a descriptor has come along under it is looked at when it is taken.
unsafe impl CheckBytes<Checker> for Descriptor {
    #[inline]
    unsafe fn check_bytes(_: *const Self, _: &mut Checker) -> Result<(), MessageError> {
        Ok(())
    }
}

/// What is sent as one type is anything that has a descriptor and can be used as that.
macro_rules! descriptors {
    ($($type:ident: $($argument:ty),+;)*) => {$(
        $(
            // SAFETY: the form is the number, which is written whole, and points to nothing.
            unsafe impl Argument<$type> for $argument {
                fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<u32, EncodeError> {
                    encoder.descriptor(self.as_fd())
                }

                fn resolve(&self, index: u32, out: Place<Descriptor>) {
                    // SAFETY: transparent, so a place of one is a place of the other.
                    unsafe { out.cast_unchecked::<u32_le>() }.write(index.into());
                }
            }
        )+

        // SAFETY: the form has the fixed layout of a number, and any is valid to read.
        unsafe impl Message for $type {
            type Form = Descriptor;
            type Res = u32;
            type View<'a> = Descriptor;
            type Slice<'a> = Elements<'a, $type>;

            fn view(form: &Descriptor) -> Descriptor {
                *form
            }

            fn slice(forms: &[Descriptor]) -> Elements<'_, $type> {
                Elements::new(forms)
            }

            fn deserialize(form: &Descriptor) -> Result<Self, MessageError> {
                let index = form.0.to_native();
                lane::take(index).map($type::from).ok_or_else(|| MessageError::no_descriptor(index))
            }

            fn desc() -> &'static Desc {
                const { &Desc { id: TypeId::of::<$type>(), kind: Kind::Primitive(stringify!($type)) } }
            }
        }
    )*};
}

descriptors! {
    OwnedFd: OwnedFd, BorrowedFd<'_>, File, PipeReader, PipeWriter, TcpListener, TcpStream, UdpSocket, UnixDatagram,
        UnixListener, UnixStream;
    File: File, BorrowedFd<'_>, OwnedFd;
    PipeReader: PipeReader;
    PipeWriter: PipeWriter;
    TcpListener: TcpListener;
    TcpStream: TcpStream;
    UdpSocket: UdpSocket;
    UnixDatagram: UnixDatagram;
    UnixListener: UnixListener;
    UnixStream: UnixStream;
}
