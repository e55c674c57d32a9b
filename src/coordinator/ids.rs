//! Names of groups and members.
//!
//! Key invariant: a name is a copy of its own: it never holds on to the request that it came in.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Declares a shared, immutable name.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A group's id, of whatever type the group is.
    GroupId
}
name! {
    /// A member's id: made up by the coordinator, or by the client of the newer protocols.
    MemberId
}
name! {
    /// The id of a static member, `group.instance.id` (KIP-345).
    InstanceId
}
