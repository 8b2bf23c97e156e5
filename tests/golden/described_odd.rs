use ipc_rpc::{Message, Streaming, service};
use std::collections::{HashMap, HashSet};
use std::io::PipeReader;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Methods of every form.
///
///     with code
#[service]
pub trait Odd {
    /// One way.
    #[rpc(oneway)]
    fn note(&self, text: &str);

    #[rpc(idempotent)]
    fn r#type(&self, r#fn: Option<&str>, at: Duration) -> Kind;
    #[rpc(name = "a-name")]
    fn a_name(&self, kind: &Kind);
    fn matrices(&self, small: &Matrix, large: &matrix2::Matrix) -> Wrapper;
    fn pages(
        &self,
        keys: &Page<Key, u8>,
        numbers: &Page<u32, u64>,
        kinds: &Page<Kind, u8>,
    ) -> Page<f64, Page<u8, u8>>;
    fn maps(
        &self,
        first: &HashMap<String, HashSet<Key>>,
        second: &HashMap<Key, Vec<u8>>,
        more: Option<&[(u8, (Kind,))]>,
    );
    fn files(&self, file: File, pipe: Option<PipeReader>) -> Result<OwnedFd, String>;
    fn lines(&self, lines: Streaming<String>) -> Result<Streaming<Key>, Kind>;
    fn watch(&self, watcher: &WatcherClient, often: bool) -> [i128; 4];
}

/// Is told of things.
#[service]
pub trait Watcher {
    #[rpc(oneway)]
    fn tell(&self, what: &Key);
}

#[derive(Message, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Small.
    Small,
    Large {
        /// In bytes.
        size: u64,
    },
    Named {
        a_long_name: u32,
        another_long_name: u32,
    },
    Pair(u8, i8),
}

#[derive(Message, Debug)]
pub struct Matrix {
    pub rows: [[f32; 2]; 2],
}

pub mod matrix2 {
    use super::*;

    #[derive(Message, Debug)]
    pub struct Matrix {
        pub rows: [[f32; 3]; 3],
    }
}

#[derive(Message, Debug)]
pub struct Wrapper(
    /// The value.
    pub Page<Key, u8>,
);

/// Many of them.
#[derive(Message, Debug)]
pub struct Page<T, U> {
    pub items: Vec<T>,
    pub other: Option<U>,
    pub total: u32,
    pub next: Option<Box<Page<T, U>>>,
}

/// What a key can be.
#[derive(Message, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub name: String,
    pub kind: Kind,
}

#[derive(Message, Debug)]
pub struct File {
    pub r#type: String,
    pub descriptor: OwnedFd,
    pub sockets: Vec<TcpStream>,
}
