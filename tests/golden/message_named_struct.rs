// #[derive(Message)]
// pub struct Query {
//     /// What to look for.
//     pub text: String,
//     limit: u32,
// }

#[repr(C)]
///[`Query`] as it lies in a message, read in place.
pub struct ArchivedQuery {
    text: <String as ::ipc_rpc::__private::Message>::Form,
    limit: <u32 as ::ipc_rpc::__private::Message>::Form,
}
impl ArchivedQuery {
    /// What to look for.
    #[inline]
    pub fn text(&self) -> ::ipc_rpc::__private::View<'_, String> {
        <String as ::ipc_rpc::__private::Message>::view(&self.text)
    }
    ///Reads `limit`.
    #[inline]
    fn limit(&self) -> ::ipc_rpc::__private::View<'_, u32> {
        <u32 as ::ipc_rpc::__private::Message>::view(&self.limit)
    }
}
const _: () = {
    unsafe impl ::ipc_rpc::__private::Argument<Query> for Query {
        const COPY: bool = ::core::mem::size_of::<Self>()
            == ::core::mem::size_of::<ArchivedQuery>()
            && 0 + ::core::mem::size_of::<String>() + ::core::mem::size_of::<u32>()
                == ::core::mem::size_of::<Self>()
            && ::ipc_rpc::__private::copies::<String>()
            && ::ipc_rpc::__private::copies::<u32>()
            && ::core::mem::offset_of!(Self, text)
                == ::core::mem::offset_of!(ArchivedQuery, text)
            && ::core::mem::offset_of!(Self, limit)
                == ::core::mem::offset_of!(ArchivedQuery, limit);
        #[inline]
        fn serialize(
            &self,
            __encoder: &mut ::ipc_rpc::__private::Encoder<'_>,
        ) -> ::core::result::Result<
            (
                <String as ::ipc_rpc::__private::Message>::Res,
                <u32 as ::ipc_rpc::__private::Message>::Res,
            ),
            ::ipc_rpc::__private::EncodeError,
        > {
            ::core::result::Result::Ok((
                ::ipc_rpc::__private::serialize::<String>(&self.text, __encoder)?,
                ::ipc_rpc::__private::serialize::<u32>(&self.limit, __encoder)?,
            ))
        }
        #[inline]
        fn resolve(
            &self,
            __resolver: (
                <String as ::ipc_rpc::__private::Message>::Res,
                <u32 as ::ipc_rpc::__private::Message>::Res,
            ),
            __out: ::ipc_rpc::__private::Place<ArchivedQuery>,
        ) {
            {
                let __place = unsafe {
                    ::ipc_rpc::__private::field(__out, &raw mut (*__out.ptr()).text)
                };
                ::ipc_rpc::__private::resolve::<
                    String,
                >(&self.text, __resolver.0, __place);
            }
            {
                let __place = unsafe {
                    ::ipc_rpc::__private::field(__out, &raw mut (*__out.ptr()).limit)
                };
                ::ipc_rpc::__private::resolve::<u32>(&self.limit, __resolver.1, __place);
            }
        }
    }
    unsafe impl ::ipc_rpc::__private::Message for Query {
        type Form = ArchivedQuery;
        type Res = (
            <String as ::ipc_rpc::__private::Message>::Res,
            <u32 as ::ipc_rpc::__private::Message>::Res,
        );
        type View<'__v> = &'__v ArchivedQuery;
        type Slice<'__v> = &'__v [ArchivedQuery];
        const PLAIN: bool = ::core::mem::size_of::<Self>()
            == ::core::mem::size_of::<ArchivedQuery>()
            && ::core::mem::align_of::<Self>()
                <= ::core::mem::align_of::<ArchivedQuery>()
            && <String as ::ipc_rpc::__private::Message>::PLAIN
            && <u32 as ::ipc_rpc::__private::Message>::PLAIN
            && ::core::mem::offset_of!(Self, text)
                == ::core::mem::offset_of!(ArchivedQuery, text)
            && ::core::mem::offset_of!(Self, limit)
                == ::core::mem::offset_of!(ArchivedQuery, limit);
        #[inline]
        fn view<'__v>(__form: &'__v ArchivedQuery) -> &'__v ArchivedQuery {
            __form
        }
        #[inline]
        fn slice<'__v>(__forms: &'__v [ArchivedQuery]) -> &'__v [ArchivedQuery] {
            __forms
        }
        #[inline]
        fn deserialize(
            __form: &ArchivedQuery,
        ) -> ::core::result::Result<Self, ::ipc_rpc::__private::MessageError> {
            ::core::result::Result::Ok(Query {
                text: ::ipc_rpc::__private::decode::<String>(&__form.text)?,
                limit: ::ipc_rpc::__private::decode::<u32>(&__form.limit)?,
            })
        }
        fn desc() -> &'static ::ipc_rpc::__private::Desc {
            const {
                &::ipc_rpc::__private::Desc {
                    id: ::ipc_rpc::__private::TypeId::of::<Self>(),
                    kind: ::ipc_rpc::__private::Kind::Struct(
                        "Query",
                        "",
                        &[],
                        &[
                            ::ipc_rpc::__private::Field {
                                name: "text",
                                docs: "What to look for.",
                                desc: <String as ::ipc_rpc::__private::Message>::desc,
                            },
                            ::ipc_rpc::__private::Field {
                                name: "limit",
                                docs: "",
                                desc: <u32 as ::ipc_rpc::__private::Message>::desc,
                            },
                        ],
                    ),
                }
            }
        }
    }
    unsafe impl ::ipc_rpc::__private::Portable for ArchivedQuery {}
    unsafe impl ::ipc_rpc::__private::CheckBytes<::ipc_rpc::__private::Checker>
    for ArchivedQuery {
        #[inline]
        unsafe fn check_bytes(
            __form: *const Self,
            __checker: &mut ::ipc_rpc::__private::Checker,
        ) -> ::core::result::Result<(), ::ipc_rpc::__private::MessageError> {
            unsafe {
                ::ipc_rpc::__private::check::<
                    String,
                >(&raw const (*__form).text, __checker, "Query", "text")?;
            }
            unsafe {
                ::ipc_rpc::__private::check::<
                    u32,
                >(&raw const (*__form).limit, __checker, "Query", "limit")?;
            }
            ::core::result::Result::Ok(())
        }
    }
    impl ::core::fmt::Debug for ArchivedQuery {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            ::core::fmt::Formatter::debug_struct(__f, "Query")
                .field("text", &self.text)
                .field("limit", &self.limit)
                .finish()
        }
    }
};
