//! What the two processes say to each other.

use std::time::Duration;

use ipc_rpc::{Archived, Context, Loan, Message, service};

/// Makes pictures of pictures.
#[service]
pub trait Studio {
    /// A picture of the same size in which each pixel is the mean of those around it, a few times over.
    fn blur(&self, frame: &Archived<Frame>, radius: u32, ctx: &Context) -> Result<Made, String>;

    /// A picture whose longer side has `longest` pixels at most.
    fn thumbnail(&self, frame: &Archived<Frame>, longest: u32, ctx: &Context) -> Result<Made, String>;

    /// The last byte of a picture: as little work as can be done with one.
    fn last(&self, frame: &Archived<Frame>) -> Option<u8>;
}

/// A picture, as a loan: messages refer to its pixels.
#[derive(Message, Debug, PartialEq)]
pub struct Frame {
    pub shape: Shape,
    /// Row after row, a byte for each channel of each pixel.
    pub pixels: Loan<u8>,
}

/// The size of a picture.
#[derive(Message, Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
#[message(plain)]
pub struct Shape {
    pub width: u32,
    pub height: u32,
    /// 1: grey, 2: grey and opacity, 3: red, green, blue, 4: these and opacity.
    pub channels: u32,
}

impl Shape {
    /// Bytes in a row.
    pub fn row(self) -> usize {
        self.width as usize * self.channels as usize
    }

    /// Bytes in all.
    pub fn bytes(self) -> usize {
        self.row() * self.height as usize
    }

    /// The same picture, with at most `longest` pixels on its longer side.
    pub fn within(self, longest: u32) -> Self {
        let longer = self.width.max(self.height);
        if longer <= longest {
            return self;
        }
        let scaled = |side: u32| (u64::from(side) * u64::from(longest) / u64::from(longer)).max(1) as u32;
        Shape { width: scaled(self.width), height: scaled(self.height), ..self }
    }
}

/// What was made, and how.
#[derive(Message, Debug, PartialEq)]
pub struct Made {
    pub frame: Frame,
    /// The pixels were written to shared memory.
    pub shared: bool,
    /// How long that took.
    pub work: Duration,
}
