//! Whether quotes flow.

mod session;

pub use self::session::{Instrument, Session};
