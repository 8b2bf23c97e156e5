//! A message with the name of a client.
use ipc_rpc::{Archived, Message, service};

#[derive(Message)]
struct BankClient {
    name: String,
}

#[service]
trait Accounts {
    fn pay(&self, from: &BankClient);
    fn ask(&self, from: &Archived<BankClient>) -> Option<BankClient>;
}

fn main() {}
