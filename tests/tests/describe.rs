//! Descriptions as Rust source: what is printed compiles, is formatted, and calls the same services.
//!
//! `UPDATE_GOLDEN=1` writes the files in `tests/golden`.

#![allow(missing_docs)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{PipeReader, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ipc_rpc::describe::Description;
use ipc_rpc::{Handle, Message, Streaming, service};
use ipc_rpc_tests::zoo::{BorrowedClient, ZooClient};

/// What a key can be.
#[derive(Message, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub name: String,
    pub kind: Kind,
}

#[derive(Message, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

#[derive(Message)]
pub struct Matrix<const N: usize> {
    pub rows: [[f32; N]; N],
}

/// Many of them.
#[derive(Message)]
pub struct Page<T, U = u8> {
    pub items: Vec<T>,
    pub other: Option<U>,
    pub total: u32,
    pub next: Option<Box<Page<T, U>>>,
}

#[derive(Message)]
pub struct Wrapper(
    /// The value.
    pub Page<Key>,
);

#[derive(Message)]
pub struct File {
    pub r#type: String,
    pub descriptor: OwnedFd,
    pub sockets: Vec<TcpStream>,
}

/// Is told of things.
#[service]
pub trait Watcher {
    #[rpc(oneway)]
    fn tell(&self, what: &Key);
}

/// Methods of every form.
///
///     with code
#[service]
pub trait Odd {
    /// One way.
    #[rpc(oneway)]
    fn note(&self, text: &str);
    #[rpc(name = "type", idempotent)]
    fn kind(&self, r#fn: Option<&str>, at: Duration) -> Kind;
    #[rpc(name = "a-name")]
    fn named(&self, kind: &Kind);
    fn matrices(&self, small: &Matrix<2>, large: &Matrix<3>) -> Wrapper;
    fn pages(&self, keys: Page<Key>, numbers: &Page<u32, u64>, kinds: Page<Kind>) -> Page<f64, Page<u8>>;
    fn maps(
        &self,
        first: &BTreeMap<String, HashSet<Key>>,
        second: HashMap<Key, Vec<u8>>,
        more: Option<&[(u8, (Kind,))]>,
    );
    fn files(&self, file: File, pipe: Option<PipeReader>) -> Result<OwnedFd, String>;
    fn lines(&self, lines: Streaming<String>) -> Result<Streaming<Key>, Kind>;
    fn watch(&self, watcher: &WatcherClient, often: bool) -> [i128; 4];
}

#[allow(missing_docs, dead_code, clippy::all)]
mod odd {
    include!("../golden/described_odd.rs");
}
#[allow(missing_docs, dead_code, clippy::all)]
mod zoo {
    include!("../golden/described_zoo.rs");
}
#[allow(missing_docs, dead_code, clippy::all)]
mod borrowed {
    include!("../golden/described_borrowed.rs");
}

/// Prints the service of the client `Own` and compares it with the file, which `Printed` was compiled from.
fn there_and_back<Own: Handle, Printed: Handle>(name: &str) {
    let bytes = Description::of_client::<Own>().to_bytes().unwrap();
    let own = Description::from_bytes(&bytes).unwrap();
    let source = own.services[0].rust(&own);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("described_{name}.rs"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, source).unwrap();
        return;
    }
    assert_eq!(source, std::fs::read_to_string(&path).unwrap(), "UPDATE_GOLDEN=1 writes {}", path.display());
    assert_eq!(source, formatted(&source));
    let printed = Description::of_client::<Printed>();
    for (own, printed) in
        own.services.iter().chain(&own.callbacks).zip(printed.services.iter().chain(&printed.callbacks))
    {
        assert_eq!((&own.name, own.methods.len(), &own.docs), (&printed.name, printed.methods.len(), &printed.docs));
        for (own, printed) in own.methods.iter().zip(&printed.methods) {
            assert_eq!((own.fingerprint, &own.docs), (printed.fingerprint, &printed.docs), "{}", own.name);
            assert_eq!((&own.name, own.oneway, own.idempotent), (&printed.name, printed.oneway, printed.idempotent));
        }
    }
    // Printed again, it is the same.
    assert_eq!(printed.services[0].rust(&printed), source);
}

/// As rustfmt has it without any configuration.
fn formatted(source: &str) -> String {
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--emit", "stdout"]).current_dir("/");
    let mut child = rustfmt.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn a_service_of_every_form() {
    there_and_back::<OddClient, odd::OddClient>("odd");
}

#[test]
fn a_service_of_every_type() {
    there_and_back::<ZooClient, zoo::ZooClient>("zoo");
}

#[test]
fn a_service_of_borrowed_arguments() {
    there_and_back::<BorrowedClient, borrowed::BorrowedClient>("borrowed");
}
