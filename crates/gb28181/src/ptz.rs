//! Commands to what moves a camera (GB/T 28181-2016 and 2022 Annex A.3): eight bytes, as hexadecimal digits.
//!
//! | byte | says |
//! |---|---|
//! | 1 | `A5` |
//! | 2 | version (0), and the sum of the three digits before modulo 16: `0F` |
//! | 3 | the address, low eight bits |
//! | 4 | the command |
//! | 5, 6 | its data: speeds of pan and tilt, or the number of a preset |
//! | 7 | high digit: speed of the zoom; low digit: the address, high four bits |
//! | 8 | the sum of the others modulo 256 |

use std::fmt;

/// Turns to the side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pan {
    /// Not at all.
    #[default]
    Stay,
    /// To the left.
    Left,
    /// To the right.
    Right,
}

/// Turns up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tilt {
    /// Not at all.
    #[default]
    Stay,
    /// Up.
    Up,
    /// Down.
    Down,
}

/// Changes the angle of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Zoom {
    /// Not at all.
    #[default]
    Stay,
    /// Narrower: things grow.
    In,
    /// Wider.
    Out,
}

/// Moves the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Focus {
    /// Not at all.
    #[default]
    Stay,
    /// To what is near.
    Near,
    /// To what is far.
    Far,
}

/// Moves the iris.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Iris {
    /// Not at all.
    #[default]
    Stay,
    /// Opens it.
    Open,
    /// Closes it.
    Close,
}

/// What a camera is to do. It goes on until [`Command::STOP`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Turns and zooms.
    Move {
        /// To which side.
        pan: Pan,
        /// Up or down.
        tilt: Tilt,
        /// Nearer or wider.
        zoom: Zoom,
        /// How fast to the side, 0 to 255.
        pan_speed: u8,
        /// How fast up or down, 0 to 255.
        tilt_speed: u8,
        /// How fast to zoom, 0 to 15; more is taken for 15.
        zoom_speed: u8,
    },
    /// Moves focus and iris.
    Lens {
        /// The focus.
        focus: Focus,
        /// The iris.
        iris: Iris,
        /// How fast to focus, 0 to 255.
        focus_speed: u8,
        /// How fast to move the iris, 0 to 255.
        iris_speed: u8,
    },
    /// Remembers the present view under a number; 0 is reserved.
    SetPreset(u8),
    /// Goes to a view.
    CallPreset(u8),
    /// Forgets a view.
    DeletePreset(u8),
}

impl Command {
    /// Stops turning and zooming.
    pub const STOP: Self = Self::Move {
        pan: Pan::Stay,
        tilt: Tilt::Stay,
        zoom: Zoom::Stay,
        pan_speed: 0,
        tilt_speed: 0,
        zoom_speed: 0,
    };

    /// Stops focus and iris.
    pub const STOP_LENS: Self =
        Self::Lens { focus: Focus::Stay, iris: Iris::Stay, focus_speed: 0, iris_speed: 0 };

    /// The eight bytes, for address 1, which is that of cameras on a network.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let (code, [first, second], nibble) = match self {
            Self::Move { pan, tilt, zoom, pan_speed, tilt_speed, zoom_speed } => {
                let pan = match pan {
                    Pan::Stay => 0,
                    Pan::Right => 0x01,
                    Pan::Left => 0x02,
                };
                let tilt = match tilt {
                    Tilt::Stay => 0,
                    Tilt::Down => 0x04,
                    Tilt::Up => 0x08,
                };
                let zoom = match zoom {
                    Zoom::Stay => 0,
                    Zoom::In => 0x10,
                    Zoom::Out => 0x20,
                };
                (pan | tilt | zoom, [pan_speed, tilt_speed], zoom_speed.min(15))
            }
            Self::Lens { focus, iris, focus_speed, iris_speed } => {
                let focus = match focus {
                    Focus::Stay => 0,
                    Focus::Far => 0x01,
                    Focus::Near => 0x02,
                };
                let iris = match iris {
                    Iris::Stay => 0,
                    Iris::Open => 0x04,
                    Iris::Close => 0x08,
                };
                (0x40 | focus | iris, [focus_speed, iris_speed], 0)
            }
            Self::SetPreset(number) => (0x81, [0, number], 0),
            Self::CallPreset(number) => (0x82, [0, number], 0),
            Self::DeletePreset(number) => (0x83, [0, number], 0),
        };
        let mut bytes = [0xA5, 0x0F, 0x01, code, first, second, nibble << 4, 0];
        bytes[7] = sum(&bytes);
        bytes
    }
}

/// The hexadecimal digits of `PTZCmd`.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// The sum of the first seven bytes.
fn sum(bytes: &[u8; 8]) -> u8 {
    bytes.iter().take(7).fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Command = Command::Move {
        pan: Pan::Stay,
        tilt: Tilt::Up,
        zoom: Zoom::Stay,
        pan_speed: 0x1E,
        tilt_speed: 0x1E,
        zoom_speed: 1,
    };

    #[test]
    fn commands_are_the_digits_that_cameras_know() {
        assert_eq!(SLOW.to_string(), "A50F01081E1E1009");
        assert_eq!(Command::STOP.to_string(), "A50F0100000000B5");
        assert_eq!(Command::STOP_LENS.to_string(), "A50F0140000000F5");
        assert_eq!(Command::SetPreset(1).to_string(), "A50F018100010037");
        assert_eq!(Command::CallPreset(1).to_string(), "A50F018200010038");
        assert_eq!(Command::DeletePreset(1).to_string(), "A50F018300010039");
    }

    #[test]
    fn directions_are_bits_and_the_sum_runs_over() {
        let all = Command::Move {
            pan: Pan::Left,
            tilt: Tilt::Down,
            zoom: Zoom::Out,
            pan_speed: 255,
            tilt_speed: 255,
            zoom_speed: 99,
        };
        let bytes = all.to_bytes();
        assert_eq!(bytes[3], 0x26);
        assert_eq!(bytes[6], 0xF0);
        // A5 + 0F + 01 + 26 + FF + FF + F0 = 3C9.
        assert_eq!(bytes[7], 0xC9);
        let lens =
            Command::Lens { focus: Focus::Near, iris: Iris::Open, focus_speed: 9, iris_speed: 8 };
        assert_eq!(lens.to_bytes()[3..6], [0x46, 9, 8]);
    }
}
