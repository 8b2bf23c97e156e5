//! tonic (gRPC) over a Unix socket, with tokio's default runtime on both sides.

use prost::Message;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Response as Reply, Status};

use super::{Client, Kind, Mechanism, asynchronous};
use crate::Result;
use crate::measure::Flight;
use crate::payload::{Payload, sum};
use crate::process::{self, Job, Killed};

#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(bytes = "vec", tag = "1")]
    pub payload: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Response {
    #[prost(fixed64, tag = "1")]
    pub sum: u64,
}

#[allow(missing_docs, clippy::all)]
mod stubs {
    include!(concat!(env!("OUT_DIR"), "/compare.Compare.rs"));
}

struct Handler;

#[tonic::async_trait]
impl stubs::compare_server::Compare for Handler {
    async fn sum(&self, request: tonic::Request<Request>) -> std::result::Result<Reply<Response>, Status> {
        Ok(Reply::new(Response { sum: sum(&request.into_inner().payload) }))
    }
}

pub struct Tonic;

struct Caller {
    client: stubs::compare_client::CompareClient<Channel>,
    runtime: Runtime,
    _server: Killed,
}

impl Mechanism for Tonic {
    fn name(&self) -> &'static str {
        "tonic"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn serve(&self, job: &Job) -> Result<()> {
        asynchronous::runtime()?.block_on(async {
            let listener = UnixListener::bind(job.folder.join("tonic"))?;
            let service = stubs::compare_server::CompareServer::new(Handler).max_decoding_message_size(usize::MAX);
            let server = Server::builder().add_service(service);
            Ok(server.serve_with_incoming(UnixListenerStream::new(listener)).await?)
        })
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let server = process::serve_by_name(job)?;
        let runtime = asynchronous::runtime()?;
        let address = format!("unix:{}", job.folder.join("tonic").display());
        let endpoint = Endpoint::from_shared(address)?;
        let channel = runtime.block_on(asynchronous::patiently(|| endpoint.connect()))?;
        let client = stubs::compare_client::CompareClient::new(channel);
        Ok(Box::new(Caller { client, runtime, _server: server }))
    }
}

impl Client for Caller {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        let request = Request { payload: payload.bytes().to_vec() };
        let reply = self.runtime.block_on(self.client.sum(request))?;
        payload.check(reply.into_inner().sum)
    }

    fn flight(&mut self, payload: &mut Payload, flight: &mut Flight) -> Result<()> {
        let client = &self.client;
        self.runtime.block_on(asynchronous::fly(payload, flight, |bytes| {
            let (mut client, request) = (client.clone(), Request { payload: bytes.to_vec() });
            async move { Ok(client.sum(request).await?.into_inner().sum) }
        }))
    }
}
