// #[derive(Message)]
// pub enum Shape<T> {
//     Unit,
//     Circle { r: f32 },
//     Named(String, T),
// }

#[repr(u8)]
///[`Shape`] as it lies in a message, read in place.
pub enum ArchivedShape<T>
where
    T: ::ipc_rpc::__private::Message,
{
    Unit,
    Circle { r: <f32 as ::ipc_rpc::__private::Message>::Form },
    Named(
        <String as ::ipc_rpc::__private::Message>::Form,
        <T as ::ipc_rpc::__private::Message>::Form,
    ),
}
///[`Shape`] read in place.
pub enum ShapeView<'__v, T>
where
    T: ::ipc_rpc::__private::Message,
{
    Unit,
    Circle { r: ::ipc_rpc::__private::View<'__v, f32> },
    Named(::ipc_rpc::__private::View<'__v, String>, ::ipc_rpc::__private::View<'__v, T>),
}
impl<T> ArchivedShape<T>
where
    T: ::ipc_rpc::__private::Message,
{
    /// Reads the variant and its fields.
    #[inline]
    pub fn view<'__v>(&'__v self) -> ShapeView<'__v, T> {
        match self {
            ArchivedShape::Unit {} => ShapeView::Unit {},
            ArchivedShape::Circle { r: __f0 } => {
                ShapeView::Circle {
                    r: <f32 as ::ipc_rpc::__private::Message>::view(__f0),
                }
            }
            ArchivedShape::Named { 0: __f0, 1: __f1 } => {
                ShapeView::Named {
                    0: <String as ::ipc_rpc::__private::Message>::view(__f0),
                    1: <T as ::ipc_rpc::__private::Message>::view(__f1),
                }
            }
        }
    }
}
const _: () = {
    #[doc(hidden)]
    pub enum __Resolver<T>
    where
        T: ::ipc_rpc::__private::Message,
    {
        __V0(()),
        __V1((<f32 as ::ipc_rpc::__private::Message>::Res,)),
        __V2(
            (
                <String as ::ipc_rpc::__private::Message>::Res,
                <T as ::ipc_rpc::__private::Message>::Res,
            ),
        ),
    }
    #[repr(C)]
    struct __Image0<T>
    where
        T: ::ipc_rpc::__private::Message,
    {
        __tag: u8,
        __of: ::core::marker::PhantomData<ArchivedShape<T>>,
    }
    #[repr(C)]
    struct __Image1<T>
    where
        T: ::ipc_rpc::__private::Message,
    {
        __tag: u8,
        __f0: <f32 as ::ipc_rpc::__private::Message>::Form,
        __of: ::core::marker::PhantomData<ArchivedShape<T>>,
    }
    #[repr(C)]
    struct __Image2<T>
    where
        T: ::ipc_rpc::__private::Message,
    {
        __tag: u8,
        __f0: <String as ::ipc_rpc::__private::Message>::Form,
        __f1: <T as ::ipc_rpc::__private::Message>::Form,
        __of: ::core::marker::PhantomData<ArchivedShape<T>>,
    }
    unsafe impl<T> ::ipc_rpc::__private::Argument<Shape<T>> for Shape<T>
    where
        T: ::ipc_rpc::__private::Message,
    {
        const COPY: bool = false;
        #[inline]
        fn serialize(
            &self,
            __encoder: &mut ::ipc_rpc::__private::Encoder<'_>,
        ) -> ::core::result::Result<__Resolver<T>, ::ipc_rpc::__private::EncodeError> {
            ::core::result::Result::Ok(
                match self {
                    Shape::Unit {} => __Resolver::__V0(()),
                    Shape::Circle { r: __f0 } => {
                        __Resolver::__V1((
                            ::ipc_rpc::__private::serialize::<f32>(__f0, __encoder)?,
                        ))
                    }
                    Shape::Named { 0: __f0, 1: __f1 } => {
                        __Resolver::__V2((
                            ::ipc_rpc::__private::serialize::<String>(__f0, __encoder)?,
                            ::ipc_rpc::__private::serialize::<T>(__f1, __encoder)?,
                        ))
                    }
                },
            )
        }
        #[inline]
        fn resolve(
            &self,
            __resolver: __Resolver<T>,
            __out: ::ipc_rpc::__private::Place<ArchivedShape<T>>,
        ) {
            match (self, __resolver) {
                (Shape::Unit {}, __Resolver::__V0(())) => {
                    let __image = unsafe { __out.ptr() }.cast::<__Image0<T>>();
                    unsafe { (&raw mut (*__image).__tag).write(0u8) };
                }
                (Shape::Circle { r: __f0 }, __Resolver::__V1((__r0,))) => {
                    let __image = unsafe { __out.ptr() }.cast::<__Image1<T>>();
                    unsafe { (&raw mut (*__image).__tag).write(1u8) };
                    {
                        let __place = unsafe {
                            ::ipc_rpc::__private::field(__out, &raw mut (*__image).__f0)
                        };
                        ::ipc_rpc::__private::resolve::<f32>(__f0, __r0, __place);
                    }
                }
                (Shape::Named { 0: __f0, 1: __f1 }, __Resolver::__V2((__r0, __r1))) => {
                    let __image = unsafe { __out.ptr() }.cast::<__Image2<T>>();
                    unsafe { (&raw mut (*__image).__tag).write(2u8) };
                    {
                        let __place = unsafe {
                            ::ipc_rpc::__private::field(__out, &raw mut (*__image).__f0)
                        };
                        ::ipc_rpc::__private::resolve::<String>(__f0, __r0, __place);
                    }
                    {
                        let __place = unsafe {
                            ::ipc_rpc::__private::field(__out, &raw mut (*__image).__f1)
                        };
                        ::ipc_rpc::__private::resolve::<T>(__f1, __r1, __place);
                    }
                }
                _ => ::ipc_rpc::__private::mismatch(),
            }
        }
    }
    unsafe impl<T> ::ipc_rpc::__private::Message for Shape<T>
    where
        T: ::ipc_rpc::__private::Message,
    {
        type Form = ArchivedShape<T>;
        type Res = __Resolver<T>;
        type View<'__v> = ShapeView<'__v, T>;
        type Slice<'__v> = &'__v [ArchivedShape<T>];
        const PLAIN: bool = false;
        #[inline]
        fn view<'__v>(__form: &'__v ArchivedShape<T>) -> ShapeView<'__v, T> {
            <ArchivedShape<T>>::view(__form)
        }
        #[inline]
        fn slice<'__v>(__forms: &'__v [ArchivedShape<T>]) -> &'__v [ArchivedShape<T>] {
            __forms
        }
        #[inline]
        fn deserialize(
            __form: &ArchivedShape<T>,
        ) -> ::core::result::Result<Self, ::ipc_rpc::__private::MessageError> {
            ::core::result::Result::Ok(
                match __form {
                    ArchivedShape::Unit {} => Shape::Unit {},
                    ArchivedShape::Circle { r: __f0 } => {
                        Shape::Circle {
                            r: ::ipc_rpc::__private::decode::<f32>(__f0)?,
                        }
                    }
                    ArchivedShape::Named { 0: __f0, 1: __f1 } => {
                        Shape::Named {
                            0: ::ipc_rpc::__private::decode::<String>(__f0)?,
                            1: ::ipc_rpc::__private::decode::<T>(__f1)?,
                        }
                    }
                },
            )
        }
        fn desc() -> &'static ::ipc_rpc::__private::Desc {
            const {
                &::ipc_rpc::__private::Desc {
                    id: ::ipc_rpc::__private::TypeId::of::<Self>(),
                    kind: ::ipc_rpc::__private::Kind::Enum(
                        "Shape",
                        "",
                        &[<T as ::ipc_rpc::__private::Message>::desc],
                        &[
                            ::ipc_rpc::__private::Variant {
                                name: "Unit",
                                docs: "",
                                fields: &[],
                            },
                            ::ipc_rpc::__private::Variant {
                                name: "Circle",
                                docs: "",
                                fields: &[
                                    ::ipc_rpc::__private::Field {
                                        name: "r",
                                        docs: "",
                                        desc: <f32 as ::ipc_rpc::__private::Message>::desc,
                                    },
                                ],
                            },
                            ::ipc_rpc::__private::Variant {
                                name: "Named",
                                docs: "",
                                fields: &[
                                    ::ipc_rpc::__private::Field {
                                        name: "0",
                                        docs: "",
                                        desc: <String as ::ipc_rpc::__private::Message>::desc,
                                    },
                                    ::ipc_rpc::__private::Field {
                                        name: "1",
                                        docs: "",
                                        desc: <T as ::ipc_rpc::__private::Message>::desc,
                                    },
                                ],
                            },
                        ],
                    ),
                }
            }
        }
    }
    unsafe impl<T> ::ipc_rpc::__private::Portable for ArchivedShape<T>
    where
        T: ::ipc_rpc::__private::Message,
    {}
    unsafe impl<T> ::ipc_rpc::__private::CheckBytes<::ipc_rpc::__private::Checker>
    for ArchivedShape<T>
    where
        T: ::ipc_rpc::__private::Message,
    {
        #[inline]
        unsafe fn check_bytes(
            __form: *const Self,
            __checker: &mut ::ipc_rpc::__private::Checker,
        ) -> ::core::result::Result<(), ::ipc_rpc::__private::MessageError> {
            match unsafe { *__form.cast::<u8>() } {
                0u8 => {}
                1u8 => {
                    let __image = __form.cast::<__Image1<T>>();
                    unsafe {
                        ::ipc_rpc::__private::check::<
                            f32,
                        >(&raw const (*__image).__f0, __checker, "Shape::Circle", "r")?;
                    }
                }
                2u8 => {
                    let __image = __form.cast::<__Image2<T>>();
                    unsafe {
                        ::ipc_rpc::__private::check::<
                            String,
                        >(&raw const (*__image).__f0, __checker, "Shape::Named", "0")?;
                    }
                    unsafe {
                        ::ipc_rpc::__private::check::<
                            T,
                        >(&raw const (*__image).__f1, __checker, "Shape::Named", "1")?;
                    }
                }
                __tag => {
                    return ::core::result::Result::Err(
                        ::ipc_rpc::__private::unknown_variant("Shape", __tag),
                    );
                }
            }
            ::core::result::Result::Ok(())
        }
    }
    impl<T> ::core::fmt::Debug for ArchivedShape<T>
    where
        T: ::ipc_rpc::__private::Message,
    {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            match self {
                ArchivedShape::Unit {} => ::core::fmt::Formatter::write_str(__f, "Unit"),
                ArchivedShape::Circle { r: __f0 } => {
                    ::core::fmt::Formatter::debug_struct(__f, "Circle")
                        .field("r", __f0)
                        .finish()
                }
                ArchivedShape::Named { 0: __f0, 1: __f1 } => {
                    ::core::fmt::Formatter::debug_tuple(__f, "Named")
                        .field(__f0)
                        .field(__f1)
                        .finish()
                }
            }
        }
    }
};
