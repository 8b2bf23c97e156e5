//! Calls in flight of asynchronous clients.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::Result;
use crate::measure::Flight;
use crate::payload::{Payload, check};

/// One future polls all calls.
pub async fn fly<F>(payload: &mut Payload, flight: &mut Flight, mut call: impl FnMut(&[u8]) -> F) -> Result<()>
where
    F: Future<Output = Result<u64>>,
{
    let mut calls = FuturesUnordered::new();
    let mut start = |payload: &mut Payload| {
        payload.next();
        let (expected, answer) = (payload.sum(), call(payload.bytes()));
        async move { check(expected, answer.await?) }
    };
    for _ in 0..flight.in_flight() {
        calls.push(start(payload));
    }
    // Those that are still under way at the end are not counted.
    let mut more = true;
    while let Some(done) = calls.next().await {
        done?;
        more = more && flight.landed();
        if more {
            calls.push(start(payload));
        }
    }
    Ok(())
}

/// The default runtime.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Tries until the server is there.
pub async fn patiently<T, E, F>(mut connect: impl FnMut() -> F) -> Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
    F: Future<Output = std::result::Result<T, E>>,
{
    let give_up = Instant::now() + Duration::from_secs(5);
    loop {
        match connect().await {
            Err(_) if Instant::now() < give_up => tokio::time::sleep(Duration::from_millis(1)).await,
            done => return Ok(done?),
        }
    }
}
