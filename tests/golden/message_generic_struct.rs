// #[derive(Message)]
// struct Page<T: Clone = u8, U = (), const N: usize = 1>
// where
//     U: Copy,
// {
//     items: Vec<T>,
//     slots: [T; N],
//     of: PhantomData<U>,
//     next: Option<Box<Self>>,
// }

#[repr(C)]
///[`Page`] as it lies in a message, read in place.
struct ArchivedPage<T: Clone = u8, U = (), const N: usize = 1>
where
    U: Copy,
    T: ::ipc_rpc::__private::Message,
    U: 'static,
{
    items: <Vec<T> as ::ipc_rpc::__private::Message>::Form,
    slots: <[T; N] as ::ipc_rpc::__private::Message>::Form,
    of: <PhantomData<U> as ::ipc_rpc::__private::Message>::Form,
    next: <Option<Box<Page<T, U, N>>> as ::ipc_rpc::__private::Message>::Form,
}
impl<T: Clone, U, const N: usize> ArchivedPage<T, U, N>
where
    U: Copy,
    T: ::ipc_rpc::__private::Message,
    U: 'static,
{
    ///Reads `items`.
    #[inline]
    fn items(&self) -> ::ipc_rpc::__private::View<'_, Vec<T>> {
        <Vec<T> as ::ipc_rpc::__private::Message>::view(&self.items)
    }
    ///Reads `slots`.
    #[inline]
    fn slots(&self) -> ::ipc_rpc::__private::View<'_, [T; N]> {
        <[T; N] as ::ipc_rpc::__private::Message>::view(&self.slots)
    }
    ///Reads `of`.
    #[inline]
    fn of(&self) -> ::ipc_rpc::__private::View<'_, PhantomData<U>> {
        <PhantomData<U> as ::ipc_rpc::__private::Message>::view(&self.of)
    }
    ///Reads `next`.
    #[inline]
    fn next(&self) -> ::ipc_rpc::__private::View<'_, Option<Box<Page<T, U, N>>>> {
        <Option<Box<Page<T, U, N>>> as ::ipc_rpc::__private::Message>::view(&self.next)
    }
}
const _: () = {
    unsafe impl<
        T: Clone,
        U,
        const N: usize,
    > ::ipc_rpc::__private::Argument<Page<T, U, N>> for Page<T, U, N>
    where
        U: Copy,
        T: ::ipc_rpc::__private::Message,
        U: 'static,
    {
        const COPY: bool = ::core::mem::size_of::<Self>()
            == ::core::mem::size_of::<ArchivedPage<T, U, N>>()
            && 0 + ::core::mem::size_of::<Vec<T>>() + ::core::mem::size_of::<[T; N]>()
                + ::core::mem::size_of::<PhantomData<U>>()
                + ::core::mem::size_of::<Option<Box<Page<T, U, N>>>>()
                == ::core::mem::size_of::<Self>()
            && ::ipc_rpc::__private::copies::<Vec<T>>()
            && ::ipc_rpc::__private::copies::<[T; N]>()
            && ::ipc_rpc::__private::copies::<PhantomData<U>>()
            && ::ipc_rpc::__private::copies::<Option<Box<Page<T, U, N>>>>()
            && ::core::mem::offset_of!(Self, items)
                == ::core::mem::offset_of!(ArchivedPage < T, U, N >, items)
            && ::core::mem::offset_of!(Self, slots)
                == ::core::mem::offset_of!(ArchivedPage < T, U, N >, slots)
            && ::core::mem::offset_of!(Self, of)
                == ::core::mem::offset_of!(ArchivedPage < T, U, N >, of)
            && ::core::mem::offset_of!(Self, next)
                == ::core::mem::offset_of!(ArchivedPage < T, U, N >, next);
        #[inline]
        fn serialize(
            &self,
            __encoder: &mut ::ipc_rpc::__private::Encoder<'_>,
        ) -> ::core::result::Result<
            (
                <Vec<T> as ::ipc_rpc::__private::Message>::Res,
                <[T; N] as ::ipc_rpc::__private::Message>::Res,
                <PhantomData<U> as ::ipc_rpc::__private::Message>::Res,
                <Option<Box<Page<T, U, N>>> as ::ipc_rpc::__private::Message>::Res,
            ),
            ::ipc_rpc::__private::EncodeError,
        > {
            ::core::result::Result::Ok((
                ::ipc_rpc::__private::serialize::<Vec<T>>(&self.items, __encoder)?,
                ::ipc_rpc::__private::serialize::<[T; N]>(&self.slots, __encoder)?,
                ::ipc_rpc::__private::serialize::<PhantomData<U>>(&self.of, __encoder)?,
                ::ipc_rpc::__private::serialize::<
                    Option<Box<Page<T, U, N>>>,
                >(&self.next, __encoder)?,
            ))
        }
        #[inline]
        fn resolve(
            &self,
            __resolver: (
                <Vec<T> as ::ipc_rpc::__private::Message>::Res,
                <[T; N] as ::ipc_rpc::__private::Message>::Res,
                <PhantomData<U> as ::ipc_rpc::__private::Message>::Res,
                <Option<Box<Page<T, U, N>>> as ::ipc_rpc::__private::Message>::Res,
            ),
            __out: ::ipc_rpc::__private::Place<ArchivedPage<T, U, N>>,
        ) {
            {
                let __place = unsafe {
                    ::ipc_rpc::__private::field(__out, &raw mut (*__out.ptr()).items)
                };
                ::ipc_rpc::__private::resolve::<
                    Vec<T>,
                >(&self.items, __resolver.0, __place);
            }
            {
                let __place = unsafe {
                    ::ipc_rpc::__private::field(__out, &raw mut (*__out.ptr()).slots)
                };
                ::ipc_rpc::__private::resolve::<
                    [T; N],
                >(&self.slots, __resolver.1, __place);
            }
            {
                let __place = unsafe {
                    ::ipc_rpc::__private::field(__out, &raw mut (*__out.ptr()).of)
                };
                ::ipc_rpc::__private::resolve::<
                    PhantomData<U>,
                >(&self.of, __resolver.2, __place);
            }
            {
                let __place = unsafe {
                    ::ipc_rpc::__private::field(__out, &raw mut (*__out.ptr()).next)
                };
                ::ipc_rpc::__private::resolve::<
                    Option<Box<Page<T, U, N>>>,
                >(&self.next, __resolver.3, __place);
            }
        }
    }
    unsafe impl<T: Clone, U, const N: usize> ::ipc_rpc::__private::Message
    for Page<T, U, N>
    where
        U: Copy,
        T: ::ipc_rpc::__private::Message,
        U: 'static,
    {
        type Form = ArchivedPage<T, U, N>;
        type Res = (
            <Vec<T> as ::ipc_rpc::__private::Message>::Res,
            <[T; N] as ::ipc_rpc::__private::Message>::Res,
            <PhantomData<U> as ::ipc_rpc::__private::Message>::Res,
            <Option<Box<Page<T, U, N>>> as ::ipc_rpc::__private::Message>::Res,
        );
        type View<'__v> = &'__v ArchivedPage<T, U, N>;
        type Slice<'__v> = &'__v [ArchivedPage<T, U, N>];
        const PLAIN: bool = ::core::mem::size_of::<Self>()
            == ::core::mem::size_of::<ArchivedPage<T, U, N>>()
            && ::core::mem::align_of::<Self>()
                <= ::core::mem::align_of::<ArchivedPage<T, U, N>>()
            && <Vec<T> as ::ipc_rpc::__private::Message>::PLAIN
            && <[T; N] as ::ipc_rpc::__private::Message>::PLAIN
            && <PhantomData<U> as ::ipc_rpc::__private::Message>::PLAIN
            && <Option<Box<Page<T, U, N>>> as ::ipc_rpc::__private::Message>::PLAIN
            && ::core::mem::offset_of!(Self, items)
                == ::core::mem::offset_of!(ArchivedPage < T, U, N >, items)
            && ::core::mem::offset_of!(Self, slots)
                == ::core::mem::offset_of!(ArchivedPage < T, U, N >, slots)
            && ::core::mem::offset_of!(Self, of)
                == ::core::mem::offset_of!(ArchivedPage < T, U, N >, of)
            && ::core::mem::offset_of!(Self, next)
                == ::core::mem::offset_of!(ArchivedPage < T, U, N >, next);
        #[inline]
        fn view<'__v>(
            __form: &'__v ArchivedPage<T, U, N>,
        ) -> &'__v ArchivedPage<T, U, N> {
            __form
        }
        #[inline]
        fn slice<'__v>(
            __forms: &'__v [ArchivedPage<T, U, N>],
        ) -> &'__v [ArchivedPage<T, U, N>] {
            __forms
        }
        #[inline]
        fn deserialize(
            __form: &ArchivedPage<T, U, N>,
        ) -> ::core::result::Result<Self, ::ipc_rpc::__private::MessageError> {
            ::core::result::Result::Ok(Page {
                items: ::ipc_rpc::__private::decode::<Vec<T>>(&__form.items)?,
                slots: ::ipc_rpc::__private::decode::<[T; N]>(&__form.slots)?,
                of: ::ipc_rpc::__private::decode::<PhantomData<U>>(&__form.of)?,
                next: ::ipc_rpc::__private::decode::<
                    Option<Box<Page<T, U, N>>>,
                >(&__form.next)?,
            })
        }
        fn desc() -> &'static ::ipc_rpc::__private::Desc {
            const {
                &::ipc_rpc::__private::Desc {
                    id: ::ipc_rpc::__private::TypeId::of::<Self>(),
                    kind: ::ipc_rpc::__private::Kind::Struct(
                        "Page",
                        "",
                        &[<T as ::ipc_rpc::__private::Message>::desc],
                        &[
                            ::ipc_rpc::__private::Field {
                                name: "items",
                                docs: "",
                                desc: <Vec<T> as ::ipc_rpc::__private::Message>::desc,
                            },
                            ::ipc_rpc::__private::Field {
                                name: "slots",
                                docs: "",
                                desc: <[T; N] as ::ipc_rpc::__private::Message>::desc,
                            },
                            ::ipc_rpc::__private::Field {
                                name: "of",
                                docs: "",
                                desc: <PhantomData<
                                    U,
                                > as ::ipc_rpc::__private::Message>::desc,
                            },
                            ::ipc_rpc::__private::Field {
                                name: "next",
                                docs: "",
                                desc: <Option<
                                    Box<Page<T, U, N>>,
                                > as ::ipc_rpc::__private::Message>::desc,
                            },
                        ],
                    ),
                }
            }
        }
    }
    unsafe impl<T: Clone, U, const N: usize> ::ipc_rpc::__private::Portable
    for ArchivedPage<T, U, N>
    where
        U: Copy,
        T: ::ipc_rpc::__private::Message,
        U: 'static,
    {}
    unsafe impl<
        T: Clone,
        U,
        const N: usize,
    > ::ipc_rpc::__private::CheckBytes<::ipc_rpc::__private::Checker>
    for ArchivedPage<T, U, N>
    where
        U: Copy,
        T: ::ipc_rpc::__private::Message,
        U: 'static,
    {
        #[inline]
        unsafe fn check_bytes(
            __form: *const Self,
            __checker: &mut ::ipc_rpc::__private::Checker,
        ) -> ::core::result::Result<(), ::ipc_rpc::__private::MessageError> {
            unsafe {
                ::ipc_rpc::__private::check::<
                    Vec<T>,
                >(&raw const (*__form).items, __checker, "Page", "items")?;
            }
            unsafe {
                ::ipc_rpc::__private::check::<
                    [T; N],
                >(&raw const (*__form).slots, __checker, "Page", "slots")?;
            }
            unsafe {
                ::ipc_rpc::__private::check::<
                    PhantomData<U>,
                >(&raw const (*__form).of, __checker, "Page", "of")?;
            }
            unsafe {
                ::ipc_rpc::__private::check::<
                    Option<Box<Page<T, U, N>>>,
                >(&raw const (*__form).next, __checker, "Page", "next")?;
            }
            ::core::result::Result::Ok(())
        }
    }
    impl<T: Clone, U, const N: usize> ::core::fmt::Debug for ArchivedPage<T, U, N>
    where
        U: Copy,
        T: ::ipc_rpc::__private::Message,
        U: 'static,
    {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            ::core::fmt::Formatter::debug_struct(__f, "Page")
                .field("items", &self.items)
                .field("slots", &self.slots)
                .field("of", &self.of)
                .field("next", &self.next)
                .finish()
        }
    }
};
