use ipc_rpc::service;

#[service]
trait Store {
    #[rpc(nmae = "put")]
    fn put(&self);
    #[rpc(one_way)]
    fn tell(&self);
    #[rpc]
    fn bare(&self);
    #[rpc()]
    fn hollow(&self);
    #[rpc = "put"]
    fn value(&self);
    #[rpc(name = put)]
    fn unquoted(&self);
    #[rpc(name = "a", name = "b")]
    fn twice(&self);
    #[cfg_attr(unix, rpc(name = "c"))]
    fn conditional(&self);
}

fn main() {}
