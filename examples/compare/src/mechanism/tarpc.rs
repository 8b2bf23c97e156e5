//! tarpc over a Unix socket, with its binary format and tokio's default runtime on both sides.

use futures_util::StreamExt;
use serde_bytes::ByteBuf;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context, serde_transport};
use tokio::runtime::Runtime;

use super::{Client, Kind, Mechanism, asynchronous};
use crate::Result;
use crate::measure::Flight;
use crate::payload::{Payload, sum};
use crate::process::{self, Job, Killed};

/// What is called.
#[tarpc::service]
trait Compare {
    async fn sum(payload: ByteBuf) -> u64;
}

#[derive(Clone)]
struct Handler;

impl Compare for Handler {
    async fn sum(self, _: context::Context, payload: ByteBuf) -> u64 {
        sum(&payload)
    }
}

pub struct Tarpc;

struct Caller {
    client: CompareClient,
    runtime: Runtime,
    _server: Killed,
}

impl Mechanism for Tarpc {
    fn name(&self) -> &'static str {
        "tarpc"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn serve(&self, job: &Job) -> Result<()> {
        asynchronous::runtime()?.block_on(async {
            let mut listener = serde_transport::unix::listen(job.folder.join("tarpc"), Bincode::default).await?;
            listener.config_mut().max_frame_length(usize::MAX);
            let transport = listener.next().await.ok_or("nobody connects")??;
            let requests = BaseChannel::with_defaults(transport).execute(Handler.serve());
            requests.for_each(|answer| async { drop(tokio::spawn(answer)) }).await;
            Ok(())
        })
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let server = process::serve_by_name(job)?;
        let runtime = asynchronous::runtime()?;
        let client = runtime.block_on(async {
            let connect = || {
                let mut connect = serde_transport::unix::connect(job.folder.join("tarpc"), Bincode::default);
                connect.config_mut().max_frame_length(usize::MAX);
                connect
            };
            let transport = asynchronous::patiently(connect).await?;
            Result::Ok(CompareClient::new(client::Config::default(), transport).spawn())
        })?;
        Ok(Box::new(Caller { client, runtime, _server: server }))
    }
}

impl Client for Caller {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        let call = self.client.sum(context::current(), ByteBuf::from(payload.bytes()));
        payload.check(self.runtime.block_on(call)?)
    }

    fn flight(&mut self, payload: &mut Payload, flight: &mut Flight) -> Result<()> {
        let client = &self.client;
        self.runtime.block_on(asynchronous::fly(payload, flight, |bytes| {
            let call = client.sum(context::current(), ByteBuf::from(bytes));
            async { Ok(call.await?) }
        }))
    }
}
