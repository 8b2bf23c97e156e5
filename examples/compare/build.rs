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
    let service = |package: &str, name: &str, method: [&str; 2], types: [&str; 2]| {
        let [name_of_function, route] = method;
        let [request, response] = types;
        let method = Method::builder()
            .name(name_of_function)
            .route_name(route)
            .input_type(request)
            .output_type(response)
            .codec_path("tonic_prost::ProstCodec")
            .build();
        Service::builder().name(name).package(package).method(method).build()
    };
    let of_mechanism = ["crate::mechanism::tonic::Request", "crate::mechanism::tonic::Response"];
    Builder::new().compile(&[
        service("compare", "Compare", ["sum", "Sum"], of_mechanism),
        service(
            "dictionary",
            "Dictionary",
            ["count", "Count"],
            ["crate::dictionary::Word", "crate::dictionary::Entry"],
        ),
    ]);
}
