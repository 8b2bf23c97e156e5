//! Notes the compiler for the reports, and has the stubs of tonic made, without a compiler for its own language.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").expect("cargo names the compiler");
    let version = Command::new(rustc).arg("--version").output().expect("a compiler that says its version");
    println!("cargo::rustc-env=COMPILER={}", String::from_utf8_lossy(&version.stdout).trim());
    #[cfg(feature = "peers")]
    stubs();
}

#[cfg(feature = "peers")]
fn stubs() {
    use tonic_build::manual::{Builder, Method, Service};
    let sum = Method::builder()
        .name("sum")
        .route_name("Sum")
        .input_type("crate::mechanism::tonic::Request")
        .output_type("crate::mechanism::tonic::Response")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    Builder::new().compile(&[Service::builder().name("Compare").package("compare").method(sum).build()]);
}
