//! What tests of a media server need and no program outside gives: a synthetic encoder, a virtual
//! clock, and drivers that feed a parser at every split, cut short or with flipped bits.
//!
//! A dev-dependency only. Everything is deterministic: the same settings and seeds give the same
//! bytes on every machine.
//!
//! ```
//! use headwater_testkit::{Audio, Item, Programme, Video};
//!
//! let programme =
//!     Programme { video: Some(Video::default()), audio: Some(Audio::default()), start: 0 };
//! let config = programme.config(); // onMetaData and the sequence headers
//! let second: Vec<_> = programme.items().take_while(|item| item.time < 1000).collect();
//! assert_eq!(config.len(), 3);
//! assert!(second.first().is_some_and(Item::is_key));
//! ```

pub mod aac;
mod bits;
mod clock;
pub mod corrupt;
pub mod h264;
mod metadata;
mod programme;
pub mod ps;
mod random;
pub mod split;
pub mod stamp;
pub mod ts;

pub use clock::VirtualClock;
pub use programme::{Audio, Item, Items, Programme, TagKind, Video};
pub use random::Random;
