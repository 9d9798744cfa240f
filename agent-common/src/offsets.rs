//! The macro by which a table of kernel fields becomes a struct of their offsets.

/// Makes a struct of byte offsets from one row for each field: its name, kernel struct and member path.
macro_rules! offsets {
    ($struct_name:ident $($(#[$doc:meta])* $name:ident = $struct:literal . $path:literal;)*) => {
        /// Byte offsets of kernel fields, read from the running kernel's BTF; [`ABSENT`](crate::ABSENT) where the kernel lacks
        /// the field.
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $struct_name {
            $($(#[$doc])* #[doc = concat!("`", $struct, ".", $path, "`")] pub $name: u32,)*
        }

        impl $struct_name {
            /// No field is known.
            pub const ABSENT: Self = Self { $($name: $crate::ABSENT,)* };

            /// Each field's name, kernel struct and member path, in the order of the struct.
            pub const FIELDS: &'static [(&'static str, &'static str, &'static str)] =
                &[$((stringify!($name), $struct, $path),)*];

            /// The offsets that `find` returns for each (struct, member path); [`ABSENT`](crate::ABSENT) where it returns
            /// `None`.
            pub fn resolve(mut find: impl FnMut(&str, &str) -> Option<u32>) -> Self {
                Self { $($name: find($struct, $path).unwrap_or($crate::ABSENT),)* }
            }
        }
    };
}

pub(crate) use offsets;
