use ipc_rpc::__private::Message;

fn main() {
    let _ = <Vec<Option<()>>>::desc();
    let _ = <Vec<()>>::desc();
}
