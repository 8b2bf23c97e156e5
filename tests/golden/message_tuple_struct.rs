// #[derive(Message)]
// pub(crate) struct Point(pub f32, pub f32);

#[repr(C)]
///[`Point`] as it lies in a message, read in place.
pub(crate) struct ArchivedPoint(
    <f32 as ::ipc_rpc::__private::Message>::Form,
    <f32 as ::ipc_rpc::__private::Message>::Form,
);
impl ArchivedPoint {
    ///Reads `0`.
    #[inline]
    pub fn get_0(&self) -> ::ipc_rpc::__private::View<'_, f32> {
        <f32 as ::ipc_rpc::__private::Message>::view(&self.0)
    }
    ///Reads `1`.
    #[inline]
    pub fn get_1(&self) -> ::ipc_rpc::__private::View<'_, f32> {
        <f32 as ::ipc_rpc::__private::Message>::view(&self.1)
    }
}
const _: () = {
    unsafe impl ::ipc_rpc::__private::Argument<Point> for Point {
        const COPY: bool = ::core::mem::size_of::<Self>()
            == ::core::mem::size_of::<ArchivedPoint>()
            && 0 + ::core::mem::size_of::<f32>() + ::core::mem::size_of::<f32>()
                == ::core::mem::size_of::<Self>()
            && ::ipc_rpc::__private::copies::<f32>()
            && ::ipc_rpc::__private::copies::<f32>()
            && ::core::mem::offset_of!(Self, 0)
                == ::core::mem::offset_of!(ArchivedPoint, 0)
            && ::core::mem::offset_of!(Self, 1)
                == ::core::mem::offset_of!(ArchivedPoint, 1);
        #[inline]
        fn serialize(
            &self,
            __encoder: &mut ::ipc_rpc::__private::Encoder<'_>,
        ) -> ::core::result::Result<
            (
                <f32 as ::ipc_rpc::__private::Message>::Res,
                <f32 as ::ipc_rpc::__private::Message>::Res,
            ),
            ::ipc_rpc::__private::EncodeError,
        > {
            ::core::result::Result::Ok((
                ::ipc_rpc::__private::serialize::<f32>(&self.0, __encoder)?,
                ::ipc_rpc::__private::serialize::<f32>(&self.1, __encoder)?,
            ))
        }
        #[inline]
        fn resolve(
            &self,
            __resolver: (
                <f32 as ::ipc_rpc::__private::Message>::Res,
                <f32 as ::ipc_rpc::__private::Message>::Res,
            ),
            __out: ::ipc_rpc::__private::Place<ArchivedPoint>,
        ) {
            {
                let __place = unsafe {
                    ::ipc_rpc::__private::field(__out, &raw mut (*__out.ptr()).0)
                };
                ::ipc_rpc::__private::resolve::<f32>(&self.0, __resolver.0, __place);
            }
            {
                let __place = unsafe {
                    ::ipc_rpc::__private::field(__out, &raw mut (*__out.ptr()).1)
                };
                ::ipc_rpc::__private::resolve::<f32>(&self.1, __resolver.1, __place);
            }
        }
    }
    unsafe impl ::ipc_rpc::__private::Message for Point {
        type Form = ArchivedPoint;
        type Res = (
            <f32 as ::ipc_rpc::__private::Message>::Res,
            <f32 as ::ipc_rpc::__private::Message>::Res,
        );
        type View<'__v> = &'__v ArchivedPoint;
        type Slice<'__v> = &'__v [ArchivedPoint];
        const PLAIN: bool = ::core::mem::size_of::<Self>()
            == ::core::mem::size_of::<ArchivedPoint>()
            && ::core::mem::align_of::<Self>()
                <= ::core::mem::align_of::<ArchivedPoint>()
            && <f32 as ::ipc_rpc::__private::Message>::PLAIN
            && <f32 as ::ipc_rpc::__private::Message>::PLAIN
            && ::core::mem::offset_of!(Self, 0)
                == ::core::mem::offset_of!(ArchivedPoint, 0)
            && ::core::mem::offset_of!(Self, 1)
                == ::core::mem::offset_of!(ArchivedPoint, 1);
        #[inline]
        fn view<'__v>(__form: &'__v ArchivedPoint) -> &'__v ArchivedPoint {
            __form
        }
        #[inline]
        fn slice<'__v>(__forms: &'__v [ArchivedPoint]) -> &'__v [ArchivedPoint] {
            __forms
        }
        #[inline]
        fn deserialize(
            __form: &ArchivedPoint,
        ) -> ::core::result::Result<Self, ::ipc_rpc::__private::MessageError> {
            ::core::result::Result::Ok(Point {
                0: ::ipc_rpc::__private::decode::<f32>(&__form.0)?,
                1: ::ipc_rpc::__private::decode::<f32>(&__form.1)?,
            })
        }
        fn desc() -> &'static ::ipc_rpc::__private::Desc {
            const {
                &::ipc_rpc::__private::Desc {
                    id: ::ipc_rpc::__private::TypeId::of::<Self>(),
                    kind: ::ipc_rpc::__private::Kind::Struct(
                        "Point",
                        "",
                        &[],
                        &[
                            ::ipc_rpc::__private::Field {
                                name: "0",
                                docs: "",
                                desc: <f32 as ::ipc_rpc::__private::Message>::desc,
                            },
                            ::ipc_rpc::__private::Field {
                                name: "1",
                                docs: "",
                                desc: <f32 as ::ipc_rpc::__private::Message>::desc,
                            },
                        ],
                    ),
                }
            }
        }
    }
    unsafe impl ::ipc_rpc::__private::Portable for ArchivedPoint {}
    unsafe impl ::ipc_rpc::__private::CheckBytes<::ipc_rpc::__private::Checker>
    for ArchivedPoint {
        #[inline]
        unsafe fn check_bytes(
            __form: *const Self,
            __checker: &mut ::ipc_rpc::__private::Checker,
        ) -> ::core::result::Result<(), ::ipc_rpc::__private::MessageError> {
            unsafe {
                ::ipc_rpc::__private::check::<
                    f32,
                >(&raw const (*__form).0, __checker, "Point", "0")?;
            }
            unsafe {
                ::ipc_rpc::__private::check::<
                    f32,
                >(&raw const (*__form).1, __checker, "Point", "1")?;
            }
            ::core::result::Result::Ok(())
        }
    }
    impl ::core::fmt::Debug for ArchivedPoint {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            ::core::fmt::Formatter::debug_tuple(__f, "Point")
                .field(&self.0)
                .field(&self.1)
                .finish()
        }
    }
};
