use ipc_rpc::service;

#[service]
trait Store: Iterator {
    fn same(&self, other: &Self) -> Self;
    fn part(&self, part: <Self as Iterator>::Item) -> Vec<Self::Item>;
}

fn main() {}
