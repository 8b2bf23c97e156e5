use ipc_rpc::service;

#[service]
auto trait Store {}

fn main() {}
