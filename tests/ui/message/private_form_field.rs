mod inner {
    #[derive(ipc_rpc::Message)]
    pub struct Query {
        pub text: String,
        secret: u32,
    }
}

fn read(query: &ipc_rpc::Archived<inner::Query>) -> u32 {
    let _ = query.text();
    query.secret()
}

fn main() {}
