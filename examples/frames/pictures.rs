//! Pictures as PNG files, and pictures out of nothing.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::{ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageResult};
use ipc_rpc::{Loan, LoanError};

use crate::service::{Frame, Shape};

/// Decodes a file into memory that `take` gives, with nothing in between unless its channels have more than eight bits.
pub fn read(
    path: &Path,
    take: impl FnOnce(usize) -> Result<Loan<u8>, LoanError>,
) -> Result<Frame, Box<dyn std::error::Error>> {
    let decoder = PngDecoder::new(BufReader::new(File::open(path)?))?;
    let ((width, height), colour) = (decoder.dimensions(), decoder.color_type());
    let shape = Shape { width, height, channels: u32::from(colour.channel_count()) };
    let mut pixels = take(shape.bytes())?;
    match colour {
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => decoder.read_image(&mut pixels)?,
        _ => {
            let deep = DynamicImage::from_decoder(decoder)?;
            let narrow = match shape.channels {
                1 => deep.into_luma8().into_raw(),
                2 => deep.into_luma_alpha8().into_raw(),
                3 => deep.into_rgb8().into_raw(),
                _ => deep.into_rgba8().into_raw(),
            };
            pixels.copy_from_slice(&narrow);
        }
    }
    Ok(Frame { shape, pixels })
}

/// Writes a file that is there as a whole or not at all, as far as errors go.
pub fn write(path: &Path, shape: Shape, pixels: &[u8]) -> ImageResult<()> {
    let colour = match shape.channels {
        1 => ExtendedColorType::L8,
        2 => ExtendedColorType::La8,
        3 => ExtendedColorType::Rgb8,
        _ => ExtendedColorType::Rgba8,
    };
    let out = BufWriter::new(File::create(path).map_err(ImageError::IoError)?);
    let encoder = PngEncoder::new_with_quality(out, CompressionType::Fast, FilterType::Up);
    encoder.write_image(pixels, shape.width, shape.height, colour)
}

/// Paints rings and a grid over a slow change of colours, number `n` of many: fine lines, which a blur takes away.
pub fn draw(n: u32, shape: Shape, pixels: &mut [u8]) {
    let Shape { width, height, channels } = shape;
    let (x0, y0) = ((n * 97 + width / 3) % width.max(1), (n * 61 + height / 2) % height.max(1));
    for (y, row) in (0u32..).zip(pixels.chunks_exact_mut(shape.row())) {
        for (x, pixel) in (0u32..).zip(row.chunks_exact_mut(channels as usize)) {
            let (dx, dy) = (u64::from(x.abs_diff(x0)), u64::from(y.abs_diff(y0)));
            let ring = ((dx * dx + dy * dy) >> 9) % 2 == 0;
            let line = x % 32 == 0 || y % 32 == 0;
            let slow = [x * 255 / width, y * 255 / height, 255 - x * 255 / width, 255];
            let colour = match (ring, line) {
                (_, true) => [255; 4],
                (true, _) => slow,
                (false, _) => slow.map(|value| value / 2),
            };
            for (channel, (to, value)) in pixel.iter_mut().zip(colour).enumerate() {
                // The last of four, or of two, is the opacity.
                let opaque = channels % 2 == 0 && channel as u32 == channels - 1;
                *to = if opaque { 255 } else { value as u8 };
            }
        }
    }
}
