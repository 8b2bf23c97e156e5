// #[derive(Message)]
// struct Nothing;

#[repr(C)]
///[`Nothing`] as it lies in a message, read in place.
struct ArchivedNothing;
const _: () = {
    unsafe impl ::ipc_rpc::__private::Argument<Nothing> for Nothing {
        const COPY: bool = ::core::mem::size_of::<Self>()
            == ::core::mem::size_of::<ArchivedNothing>()
            && 0 == ::core::mem::size_of::<Self>();
        #[inline]
        fn serialize(
            &self,
            __encoder: &mut ::ipc_rpc::__private::Encoder<'_>,
        ) -> ::core::result::Result<(), ::ipc_rpc::__private::EncodeError> {
            ::core::result::Result::Ok(())
        }
        #[inline]
        fn resolve(
            &self,
            __resolver: (),
            __out: ::ipc_rpc::__private::Place<ArchivedNothing>,
        ) {}
    }
    unsafe impl ::ipc_rpc::__private::Message for Nothing {
        type Form = ArchivedNothing;
        type Res = ();
        type View<'__v> = &'__v ArchivedNothing;
        type Slice<'__v> = &'__v [ArchivedNothing];
        const PLAIN: bool = ::core::mem::size_of::<Self>()
            == ::core::mem::size_of::<ArchivedNothing>()
            && ::core::mem::align_of::<Self>()
                <= ::core::mem::align_of::<ArchivedNothing>();
        #[inline]
        fn view<'__v>(__form: &'__v ArchivedNothing) -> &'__v ArchivedNothing {
            __form
        }
        #[inline]
        fn slice<'__v>(__forms: &'__v [ArchivedNothing]) -> &'__v [ArchivedNothing] {
            __forms
        }
        #[inline]
        fn deserialize(
            __form: &ArchivedNothing,
        ) -> ::core::result::Result<Self, ::ipc_rpc::__private::MessageError> {
            ::core::result::Result::Ok(Nothing {})
        }
        fn desc() -> &'static ::ipc_rpc::__private::Desc {
            const {
                &::ipc_rpc::__private::Desc {
                    id: ::ipc_rpc::__private::TypeId::of::<Self>(),
                    kind: ::ipc_rpc::__private::Kind::Struct("Nothing", "", &[], &[]),
                }
            }
        }
    }
    unsafe impl ::ipc_rpc::__private::Portable for ArchivedNothing {}
    unsafe impl ::ipc_rpc::__private::CheckBytes<::ipc_rpc::__private::Checker>
    for ArchivedNothing {
        #[inline]
        unsafe fn check_bytes(
            __form: *const Self,
            __checker: &mut ::ipc_rpc::__private::Checker,
        ) -> ::core::result::Result<(), ::ipc_rpc::__private::MessageError> {
            ::core::result::Result::Ok(())
        }
    }
    impl ::core::fmt::Debug for ArchivedNothing {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            ::core::fmt::Formatter::write_str(__f, "Nothing")
        }
    }
};
