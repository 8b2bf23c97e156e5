//! Expansions compile wherever a derive may stand, without a warning, whatever the user's own names are.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub, unused_qualifications)]
#![deny(
    unused_results,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unused_lifetimes,
    variant_size_differences,
    let_underscore_drop,
    explicit_outlives_requirements,
    non_ascii_idents,
    elided_lifetimes_in_paths,
    unused_import_braces,
    rust_2018_idioms,
    future_incompatible,
    nonstandard_style,
    keyword_idents
)]

extern crate ipc_rpc as renamed;

use ipc_rpc::{Archived, Message};

/// That the types are messages is what the compiler has to accept.
fn is_message<T: Message>() {}

/// No name of the prelude is in scope.
mod bare {
    #![no_implicit_prelude]

    #[derive(::ipc_rpc::Message, ::core::fmt::Debug)]
    pub(crate) struct Struct<T> {
        pub(crate) text: ::std::string::String,
        pub(crate) list: ::std::vec::Vec<T>,
        pub(crate) maybe: ::core::option::Option<::std::boxed::Box<Self>>,
    }

    #[derive(::ipc_rpc::Message, ::core::fmt::Debug)]
    pub(crate) enum Enum {
        A,
        B(u8),
        C { x: ::core::result::Result<u8, ::std::string::String> },
    }

    #[derive(::ipc_rpc::Message, ::core::fmt::Debug)]
    pub(crate) enum Fieldless {
        A,
        B,
    }
}

/// The user's types have the names that expansions might want to use.
mod names {
    #![allow(dead_code)]

    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) struct Result;
    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) struct Option(Result);
    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) struct Vec {
        string: String,
    }
    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) enum String {
        Ok(Sized),
        Err,
        Some(Clone),
        None,
    }
    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) struct Sized;
    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) struct Clone;
    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) enum Archived {
        Archived(Form),
        Self_(Form),
    }
    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) enum Form {
        Form,
        View,
    }
    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) struct Field {
        view: Form,
        slice: Form,
        deserialize: u8,
        serialize: u8,
    }
    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) struct Parameters<S, D, C, E, T, View, Res> {
        s: S,
        d: D,
        c: C,
        e: E,
        t: T,
        view: View,
        res: Res,
    }
    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) enum EnumParameters<S, D, E> {
        S(S),
        D { d: D },
        E(E, S),
    }
}

/// Modules that are called like crates.
mod crates {
    mod core {}
    mod std {}

    #[derive(ipc_rpc::Message, Debug)]
    pub(crate) struct Struct {
        pub(crate) x: u8,
    }
}

macro_rules! declare {
    ($name:ident, $field:ident: $ty:ty, $other:ident) => {
        #[derive(Message, Debug)]
        pub(crate) struct $name {
            pub(crate) $field: $ty,
            pub(crate) fixed: u8,
        }

        #[derive(Message, Debug)]
        pub(crate) enum $other {
            One($ty),
            Two { $field: u8 },
        }
    };
}

declare!(Declared, x: Option<u8>, DeclaredEnum);

#[derive(Message, Debug, Clone)]
#[non_exhaustive]
pub(crate) struct Deprecating {
    #[deprecated(note = "for the test")]
    pub(crate) old: u8,
}

#[derive(Message, Debug, Clone)]
pub(crate) struct Unread {
    private: u8,
}

#[derive(Message, Debug)]
#[allow(non_camel_case_types, reason = "raw identifiers have to work")]
pub(crate) struct r#struct {
    pub(crate) r#fn: u8,
}

/// A facade that re-exports the crate.
mod facade {
    pub(crate) mod deep {
        #[doc(hidden)]
        pub(crate) use ipc_rpc::__private;
        pub(crate) use ipc_rpc::*;
    }
}

#[derive(facade::deep::Message, Debug)]
#[message(crate = facade::deep, archived = StoredRenamed, view = SeenRenamed)]
pub(crate) enum Renamed {
    A(u8),
    B { x: String },
}

#[derive(renamed::Message, Debug)]
#[message(crate = ::renamed)]
pub(crate) struct ByAnotherName {
    pub(crate) x: u8,
}

mod outer {
    mod inner {
        use ipc_rpc::Message;

        #[derive(Message, Debug)]
        pub(in super::super) struct Restricted {
            pub(in super::super) a: u8,
            pub(super) b: u8,
            pub(crate) c: u8,
        }

        #[derive(Message, Debug)]
        pub(in super::super) enum RestrictedEnum {
            A(u8),
            B,
        }
    }
    pub(super) use inner::{Restricted, RestrictedEnum};
}

#[test]
fn types_in_functions_are_messages() {
    #[derive(Message, Debug)]
    struct Local {
        x: u8,
    }

    #[derive(Message, Debug)]
    enum LocalEnum {
        A,
        B(Local),
    }

    fn sum(form: &Archived<LocalEnum>) -> u8 {
        match form.view() {
            LocalEnumView::A => 0,
            LocalEnumView::B(local) => local.x(),
        }
    }
    let _: fn(&Archived<LocalEnum>) -> u8 = sum;
    let made = [LocalEnum::A, LocalEnum::B(Local { x: 1 })];
    assert_eq!(format!("{made:?}"), "[A, B(Local { x: 1 })]");
    is_message::<LocalEnum>();
}

#[test]
fn all_of_them_are_messages() {
    is_message::<bare::Struct<u8>>();
    is_message::<bare::Enum>();
    is_message::<bare::Fieldless>();
    is_message::<(names::Result, names::Option, names::Vec, names::String, names::Sized, names::Clone)>();
    is_message::<(names::Archived, names::Form, names::Field)>();
    is_message::<names::Parameters<u8, u8, u8, u8, u8, u8, u8>>();
    is_message::<names::EnumParameters<u8, u8, u8>>();
    is_message::<(crates::Struct, Declared, DeclaredEnum, Deprecating, Unread, r#struct, Renamed, ByAnotherName)>();
    is_message::<(outer::Restricted, outer::RestrictedEnum)>();
}
