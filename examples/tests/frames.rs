//! The frames example, judged by what another implementation makes of the same pictures.

mod util;

use std::fs;
use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, GenericImageView, ImageBuffer, ImageReader, Rgba};
use ipc_rpc::Loan;
use util::Place;

fn open(path: &Path) -> DynamicImage {
    ImageReader::open(path).expect("a file").decode().expect("a picture")
}

/// The mean difference of two pictures of the same size, in 255ths.
fn distance(a: &DynamicImage, b: &DynamicImage) -> f64 {
    assert_eq!((a.dimensions(), a.color()), (b.dimensions(), b.color()));
    let pairs = a.as_bytes().iter().zip(b.as_bytes());
    pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.as_bytes().len() as f64
}

#[test]
fn pictures_are_blurred_and_scaled_down() {
    let place = Place::new();
    let (drawn, out) = (place.path().join("drawn"), place.path().join("out"));
    let (from, to) = (drawn.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    assert_eq!(place.run("frames", &["draw", "5", from, "--width", "400", "--height", "300"]).code, Some(0));
    // More than eight bits for a channel.
    let deep = DynamicImage::ImageRgb16(open(&drawn.join("drawn-1.png")).into_rgb16());
    deep.save(drawn.join("drawn-9.png")).expect("a file");
    let finished = place.run("frames", &["process", from, to, "--radius", "4", "--thumbnail", "100"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.out.starts_with("6 pictures in "), "{finished:?}");
    assert!(finished.out.contains(" 0 bytes of them copied "), "{finished:?}");
    for n in [0, 1, 2, 3, 4, 9] {
        let result = |kind| open(&out.join(format!("drawn-{n}-{kind}.png")));
        let mut before = open(&drawn.join(format!("drawn-{n}.png")));
        if n == 9 {
            before = DynamicImage::ImageRgb8(before.into_rgb8());
        }
        let blurred = result("blurred");
        // Three boxes of width 9 have the variance of a Gaussian of this width.
        let (near, far) = (distance(&blurred, &before.blur(4.47)), distance(&blurred, &before));
        assert!(near < 2.0 && far > 10.0 * near, "drawn-{n}: {near} from another blur, {far} from what it was");
        let small = result("thumbnail");
        assert_eq!(small.dimensions(), (100, 75));
        assert!(distance(&small, &before.resize_exact(100, 75, FilterType::Triangle)) < 16.0);
        assert!(distance(&small, &before.thumbnail_exact(100, 75)) < 2.0);
    }
}

#[test]
fn a_loan_is_the_memory_of_a_picture() {
    let mut picture =
        ImageBuffer::<Rgba<u8>, Loan<u8>>::from_raw(8, 4, Loan::from(vec![0; 8 * 4 * 4])).expect("enough");
    picture.put_pixel(7, 3, Rgba([1, 2, 3, 4]));
    let loan: Loan<u8> = picture.into_raw();
    let seen = ImageBuffer::<Rgba<u8>, &[u8]>::from_raw(8, 4, &loan).expect("enough");
    assert_eq!(seen.get_pixel(7, 3), &Rgba([1, 2, 3, 4]));
    assert_eq!(seen.pixels().filter(|pixel| **pixel != Rgba([0; 4])).count(), 1);
}

#[test]
fn what_is_no_picture_is_said_and_skipped() {
    let place = Place::new();
    let (drawn, out) = (place.path().join("drawn"), place.path().join("out"));
    let (from, to) = (drawn.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    assert_eq!(place.run("frames", &["draw", "2", from, "--width", "64", "--height", "64"]).code, Some(0));
    let whole = fs::read(drawn.join("drawn-0.png")).expect("a file");
    fs::write(drawn.join("half.png"), &whole[..whole.len() / 2]).expect("a file");
    fs::write(drawn.join("text.txt"), "no picture").expect("a file");
    let finished = place.run("frames", &["process", from, to]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.out.starts_with("2 pictures in "), "{finished:?}");
    for name in ["half.png: ", "text.txt: "] {
        assert!(finished.err.lines().any(|line| line.starts_with("skipped ") && line.contains(name)), "{finished:?}");
    }
    assert_eq!(fs::read_dir(&out).expect("a folder").count(), 4);
}

#[test]
fn folders_that_are_none_are_errors() {
    let place = Place::new();
    let missing = place.path().join("missing");
    let missing = missing.to_str().expect("UTF-8");
    let file = place.path().join("file");
    fs::write(&file, "").expect("a file");
    let file = file.to_str().expect("UTF-8");
    for arguments in [["process", missing, missing], ["process", file, missing], ["generate", "1", file]] {
        let finished = place.run("frames", &arguments);
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(
            finished
                .err
                .starts_with(&format!("frames: {}: ", if arguments[0] == "process" { arguments[1] } else { file }))
        );
    }
}
