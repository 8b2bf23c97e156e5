//! The work: reads pictures where the other process has them, and writes new ones where it will read them.

use std::time::Instant;

use ipc_rpc::{Archived, Context, Loan, LoanError};

use crate::service::{Frame, Made, Shape, Studio};

/// Box blurs one after another: three are hard to tell from a Gaussian one.
const PASSES: usize = 3;

pub struct Painter;

impl Studio for Painter {
    fn blur(&self, frame: &Archived<Frame>, radius: u32, ctx: &Context) -> Result<Made, String> {
        let (shape, pixels) = checked(frame)?;
        make(shape, |len| ctx.loan(len), |to| blur(pixels, to, shape, radius as usize))
    }

    fn thumbnail(&self, frame: &Archived<Frame>, longest: u32, ctx: &Context) -> Result<Made, String> {
        let (shape, pixels) = checked(frame)?;
        let small = shape.within(longest.max(1));
        make(small, |len| ctx.loan(len), |to| shrink(pixels, shape, to, small))
    }

    fn last(&self, frame: &Archived<Frame>) -> Option<u8> {
        frame.pixels().last().copied()
    }
}

/// The parts of a picture, if they fit together.
fn checked(frame: &Archived<Frame>) -> Result<(Shape, &[u8]), String> {
    let (shape, pixels) = (*frame.shape(), frame.pixels());
    let row = (shape.width as usize).checked_mul(shape.channels as usize);
    match row.and_then(|row| row.checked_mul(shape.height as usize)) {
        Some(bytes) if bytes == pixels.len() && bytes > 0 => Ok((shape, pixels)),
        _ => Err(format!("{} bytes are no picture of {shape:?}", pixels.len())),
    }
}

/// Takes memory for a picture and has it painted.
pub fn make(
    shape: Shape,
    take: impl FnOnce(usize) -> Result<Loan<u8>, LoanError>,
    paint: impl FnOnce(&mut [u8]),
) -> Result<Made, String> {
    let begin = Instant::now();
    let mut pixels = take(shape.bytes()).map_err(|error| error.to_string())?;
    paint(&mut pixels);
    let shared = pixels.is_shared();
    Ok(Made { frame: Frame { shape, pixels }, shared, work: begin.elapsed() })
}

/// Smooths the columns and the rows of a picture that is not empty.
pub fn blur(from: &[u8], to: &mut [u8], shape: Shape, radius: usize) {
    let mut columns = vec![0; from.len()];
    for pass in 0..PASSES {
        smooth(if pass == 0 { from } else { to }, &mut columns, shape.row(), radius);
        for (from, to) in columns.chunks_exact(shape.row()).zip(to.chunks_exact_mut(shape.row())) {
            smooth(from, to, shape.channels as usize, radius);
        }
    }
}

/// Of a sequence of groups of `lanes` numbers, each becomes the mean of those up to `radius` away. What would lie beyond an
/// end is taken to be as the end.
fn smooth(from: &[u8], to: &mut [u8], lanes: usize, radius: usize) {
    let last = from.len() / lanes - 1;
    let group = |n: usize| &from[n.min(last) * lanes..][..lanes];
    let radius = radius.min(last);
    let count = 2 * radius as u32 + 1;
    let mut sums: Vec<u32> = group(0).iter().map(|value| u32::from(*value) * (radius as u32 + 1)).collect();
    for n in 1..=radius {
        sums.iter_mut().zip(group(n)).for_each(|(sum, value)| *sum += u32::from(*value));
    }
    for (n, to) in to.chunks_exact_mut(lanes).enumerate() {
        let (enters, leaves) = (group(n + radius + 1), group(n.saturating_sub(radius)));
        for (((to, sum), enters), leaves) in to.iter_mut().zip(&mut sums).zip(enters).zip(leaves) {
            *to = ((*sum + count / 2) / count) as u8;
            *sum = *sum + u32::from(*enters) - u32::from(*leaves);
        }
    }
}

/// Each pixel becomes the mean of those that lie under it.
pub fn shrink(from: &[u8], shape: Shape, to: &mut [u8], small: Shape) {
    let channels = shape.channels as usize;
    // The pixels of a side of `all` under number `n` of `few`: at least one, since a picture never grows.
    let under = |n: usize, few: u32, all: u32| {
        let begin = |n: usize| n * all as usize / few as usize;
        begin(n)..begin(n + 1)
    };
    let mut sums = vec![0u64; channels];
    for (y, row) in to.chunks_exact_mut(small.row()).enumerate() {
        let rows = under(y, small.height, shape.height);
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let columns = under(x, small.width, shape.width);
            sums.fill(0);
            for y in rows.clone() {
                let part = &from[y * shape.row()..][columns.start * channels..columns.end * channels];
                for pixel in part.chunks_exact(channels) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(*value));
                }
            }
            let count = (rows.len() * columns.len()) as u64;
            pixel.iter_mut().zip(&sums).for_each(|(to, sum)| *to = ((sum + count / 2) / count) as u8);
        }
    }
}
