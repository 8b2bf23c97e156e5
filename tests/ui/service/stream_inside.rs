use ipc_rpc::{Streaming, service};

#[service]
trait Files {
    fn pair(&self, lines: (Streaming<String>, u8));
    fn option(&self, lines: Option<Streaming<String>>);
    fn nested(&self, lines: Streaming<Streaming<String>>);
    fn list(&self) -> Vec<Streaming<String>>;
    fn both(&self) -> (u8, Streaming<String>);
    fn some(&self) -> Option<Streaming<String>>;
    fn error(&self) -> Result<u8, Streaming<String>>;
    fn items(&self) -> Streaming<&str>;
    fn sizes(&self) -> Streaming<usize>;
}

fn main() {}
