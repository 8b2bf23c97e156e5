//! Arrays of several dimensions as messages.
#![allow(unsafe_code)]
// The derive implements `Message`.

use ndarray::{Array, ArrayViewD, ArrayViewMutD, Dimension, ErrorKind, IxDyn, ShapeError};

use crate::Message;
use crate::loan::Loan;
use crate::message::private_exports::plain_slice;

/// An array of any number of dimensions, as a message; needs the feature `ndarray`.
///
/// Its elements are a [`Loan`], row by row, so that it is filled in place ([`view_mut`](Tensor::view_mut)) and not copied when
/// it is sent. An `ndarray::Array` becomes one without a copy, and is copied once when it is sent. Who receives it reads it
/// where it lies: [`view`](ArchivedTensor::view).
///
/// ```
/// use ipc_rpc::{Archived, Tensor, service, testing};
/// use ndarray::{Axis, Ix2, array};
///
/// #[service]
/// pub trait Means {
///     /// Of each row.
///     fn rows(&self, numbers: &Archived<Tensor<f32>>) -> Result<Vec<f32>, String>;
/// }
/// struct Plain;
/// impl Means for Plain {
///     fn rows(&self, numbers: &Archived<Tensor<f32>>) -> Result<Vec<f32>, String> {
///         let all = numbers.view().and_then(|all| all.into_dimensionality::<Ix2>()).map_err(|error| error.to_string())?;
///         Ok(all.mean_axis(Axis(1)).ok_or("no columns")?.to_vec())
///     }
/// }
///
/// let (means, _server) = testing::pair(MeansDispatcher::new(Plain))?;
/// let mut large = Tensor::new(&[1000, 2000], means.loan(2_000_000)?)?;
/// large.view_mut()?.fill(0.5);
/// assert_eq!(means.rows(&large)?, vec![0.5; 1000]); // eight megabytes that nobody copied
/// assert_eq!(means.rows(&Tensor::from(array![[1.0, 3.0], [5.0, 6.0]]))?, [2.0, 5.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Message, Debug, Clone, PartialEq)]
#[message(crate = crate)]
pub struct Tensor<T> {
    shape: Vec<u64>,
    elements: Loan<T>,
}

impl<T> Tensor<T> {
    /// An array of this shape. The last dimension varies fastest.
    ///
    /// ```
    /// use ipc_rpc::{Loan, Tensor};
    /// assert!(Tensor::new(&[2, 3], Loan::from(vec![0.0f32; 6])).is_ok());
    /// assert!(Tensor::new(&[2, 3], Loan::from(vec![0.0f32; 5])).is_err());
    /// ```
    ///
    /// # Errors
    /// The shape needs another number of elements.
    pub fn new(shape: &[usize], elements: Loan<T>) -> Result<Self, ShapeError> {
        let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
        view(&shape, &elements)?;
        Ok(Tensor { shape, elements })
    }

    /// Reads it.
    ///
    /// ```
    /// use ipc_rpc::{Loan, Tensor};
    /// let tensor = Tensor::new(&[2, 2], Loan::from(vec![1u8, 2, 3, 4]))?;
    /// assert_eq!(tensor.view()?[[1, 0]], 3);
    /// # Ok::<(), ndarray::ShapeError>(())
    /// ```
    ///
    /// # Errors
    /// It was received, and the peer gave a shape that needs another number of elements.
    pub fn view(&self) -> Result<ArrayViewD<'_, T>, ShapeError> {
        view(&self.shape, &self.elements)
    }

    /// Writes it. While a call may still read it, it is copied first, as a loan is.
    ///
    /// ```
    /// use ipc_rpc::{Loan, Tensor};
    /// let mut tensor = Tensor::new(&[2, 2], Loan::from(vec![0u8; 4]))?;
    /// tensor.view_mut()?[[1, 0]] = 7;
    /// assert_eq!(*tensor.into_elements(), [0, 0, 7, 0]);
    /// # Ok::<(), ndarray::ShapeError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`view`](Tensor::view).
    pub fn view_mut(&mut self) -> Result<ArrayViewMutD<'_, T>, ShapeError> {
        view(&self.shape, &self.elements)?;
        ArrayViewMutD::from_shape(dimensions(&self.shape)?, &mut self.elements)
    }

    /// The elements, row by row.
    ///
    /// ```
    /// use ipc_rpc::Tensor;
    /// let elements = Tensor::from(ndarray::array![[1u8, 2], [3, 4]]).into_elements();
    /// assert_eq!(*elements, [1, 2, 3, 4]);
    /// ```
    pub fn into_elements(self) -> Loan<T> {
        self.elements
    }
}

/// Moves the elements, unless they are not in order or not all of what the array has.
impl<T: Clone, D: Dimension> From<Array<T, D>> for Tensor<T> {
    fn from(array: Array<T, D>) -> Self {
        let shape = array.shape().iter().map(|n| *n as u64).collect();
        let all = match array.is_standard_layout() {
            true => {
                let len = array.len();
                let (mut all, first) = array.into_raw_vec_and_offset();
                all.drain(..first.unwrap_or(0).min(all.len()));
                all.truncate(len);
                all
            }
            false => array.iter().cloned().collect(),
        };
        Tensor { shape, elements: Loan::from(all) }
    }
}

impl<T: Message> ArchivedTensor<T> {
    /// Reads it where it lies.
    ///
    /// ```
    /// # use ipc_rpc::{Archived, Tensor, service, testing};
    /// # #[service]
    /// # pub trait Sums { fn sum(&self, numbers: &Archived<Tensor<f32>>) -> f32; }
    /// # struct Plain;
    /// # impl Sums for Plain {
    /// fn sum(&self, numbers: &Archived<Tensor<f32>>) -> f32 {
    ///     numbers.view().map_or(f32::NAN, |numbers| numbers.sum())
    /// }
    /// # }
    /// # let (sums, _server) = testing::pair(SumsDispatcher::new(Plain))?;
    /// # assert_eq!(sums.sum(&Tensor::from(ndarray::array![[1.0, 2.0], [3.0, 4.0]]))?, 10.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The peer gave a shape that needs another number of elements.
    pub fn view(&self) -> Result<ArrayViewD<'_, T>, ShapeError> {
        const { assert!(T::PLAIN, "only numbers and structs of them without padding are read in place") };
        view(self.shape(), plain_slice::<T>(self.elements.as_slice()))
    }
}

fn dimensions(shape: &[u64]) -> Result<IxDyn, ShapeError> {
    let all = shape.iter().map(|n| usize::try_from(*n)).collect::<Result<Vec<_>, _>>();
    all.map(|all| IxDyn(&all)).map_err(|_| ShapeError::from_kind(ErrorKind::Overflow))
}

fn view<'a, T>(shape: &[u64], elements: &'a [T]) -> Result<ArrayViewD<'a, T>, ShapeError> {
    let shape = dimensions(shape)?;
    // Exactly as many: `from_shape` would be content with more.
    match shape.size_checked() {
        Some(size) if size == elements.len() => ArrayViewD::from_shape(shape, elements),
        Some(_) => Err(ShapeError::from_kind(ErrorKind::OutOfBounds)),
        None => Err(ShapeError::from_kind(ErrorKind::Overflow)),
    }
}
