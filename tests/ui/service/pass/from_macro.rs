//! A service that `macro_rules` writes: types arrive in invisible groups, `$crate` in paths.

pub type Number = u32;

macro_rules! store {
    ($vis:vis $name:ident, $key:ty, $value:ty, $method:ident($argument:ident), $error:ty) => {
        #[ipc_rpc::service]
        $vis trait $name {
            fn $method(&self, $argument: $key, other: &$value, list: &[$value]) -> Result<$value, $error>;
            fn number(&self, text: Option<$key>) -> $crate::Number;
        }
    };
}

store!(pub(crate) Store, &str, u8, get(key), String);

struct Server;

impl Store for Server {
    fn get(&self, _: &str, other: &u8, _: &[u8]) -> Result<u8, String> {
        Ok(*other)
    }
    fn number(&self, _: Option<&str>) -> u32 {
        1
    }
}

fn main() {
    let _ = StoreDispatcher::new(Server);
    let _ = |client: &StoreClient| client.get("a", &1, &[]).unwrap_or(1u8);
}
