// #[derive(Message)]
// pub enum Color {
//     Red,
//     Green = 7,
// }

#[repr(u8)]
///[`Color`] as it lies in a message, read in place.
pub enum ArchivedColor {
    Red,
    Green,
}
impl ArchivedColor {
    /// Reads the variant.
    #[inline]
    pub fn view(&self) -> Color {
        match self {
            ArchivedColor::Red { .. } => Color::Red {},
            ArchivedColor::Green { .. } => Color::Green {},
        }
    }
}
const _: () = {
    unsafe impl ::ipc_rpc::__private::Argument<Color> for Color {
        const COPY: bool = <Self as ::ipc_rpc::__private::Message>::PLAIN;
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
            __out: ::ipc_rpc::__private::Place<ArchivedColor>,
        ) {
            let __tag = match self {
                Color::Red {} => 0u8,
                Color::Green {} => 1u8,
            };
            unsafe { __out.ptr().cast::<u8>().write(__tag) };
        }
    }
    unsafe impl ::ipc_rpc::__private::Message for Color {
        type Form = ArchivedColor;
        type Res = ();
        type View<'__v> = Color;
        type Slice<'__v> = ::ipc_rpc::__private::Elements<'__v, Color>;
        const PLAIN: bool = true
            && unsafe {
                ::ipc_rpc::__private::has_tag(
                    &::core::mem::ManuallyDrop::new(Color::Red {}),
                    0u8,
                )
            }
            && unsafe {
                ::ipc_rpc::__private::has_tag(
                    &::core::mem::ManuallyDrop::new(Color::Green {}),
                    1u8,
                )
            };
        #[inline]
        fn view<'__v>(__form: &'__v ArchivedColor) -> Color {
            <ArchivedColor>::view(__form)
        }
        #[inline]
        fn slice<'__v>(
            __forms: &'__v [ArchivedColor],
        ) -> ::ipc_rpc::__private::Elements<'__v, Color> {
            ::ipc_rpc::__private::Elements::new(__forms)
        }
        #[inline]
        fn deserialize(
            __form: &ArchivedColor,
        ) -> ::core::result::Result<Self, ::ipc_rpc::__private::MessageError> {
            ::core::result::Result::Ok(
                match __form {
                    ArchivedColor::Red {} => Color::Red {},
                    ArchivedColor::Green {} => Color::Green {},
                },
            )
        }
        fn desc() -> &'static ::ipc_rpc::__private::Desc {
            const {
                &::ipc_rpc::__private::Desc {
                    id: ::ipc_rpc::__private::TypeId::of::<Self>(),
                    kind: ::ipc_rpc::__private::Kind::Enum(
                        "Color",
                        "",
                        &[],
                        &[
                            ::ipc_rpc::__private::Variant {
                                name: "Red",
                                docs: "",
                                fields: &[],
                            },
                            ::ipc_rpc::__private::Variant {
                                name: "Green",
                                docs: "",
                                fields: &[],
                            },
                        ],
                    ),
                }
            }
        }
    }
    unsafe impl ::ipc_rpc::__private::Portable for ArchivedColor {}
    unsafe impl ::ipc_rpc::__private::CheckBytes<::ipc_rpc::__private::Checker>
    for ArchivedColor {
        #[inline]
        unsafe fn check_bytes(
            __form: *const Self,
            __checker: &mut ::ipc_rpc::__private::Checker,
        ) -> ::core::result::Result<(), ::ipc_rpc::__private::MessageError> {
            match unsafe { *__form.cast::<u8>() } {
                0u8 => {}
                1u8 => {}
                __tag => {
                    return ::core::result::Result::Err(
                        ::ipc_rpc::__private::unknown_variant("Color", __tag),
                    );
                }
            }
            ::core::result::Result::Ok(())
        }
    }
    impl ::core::fmt::Debug for ArchivedColor {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            match self {
                ArchivedColor::Red {} => ::core::fmt::Formatter::write_str(__f, "Red"),
                ArchivedColor::Green {} => {
                    ::core::fmt::Formatter::write_str(__f, "Green")
                }
            }
        }
    }
};
