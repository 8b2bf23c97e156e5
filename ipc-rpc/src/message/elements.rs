//! A sequence in a message, read element by element.

use std::fmt::{self, Debug};

use super::{Message, View};

/// The elements of a sequence where they lie, each read natively: a `Vec<String>` gives `&str`, a map gives pairs.
///
/// ```
/// use ipc_rpc::Elements;
///
/// fn total(scores: Elements<'_, (String, u32)>) -> u32 {
///     scores.iter().map(|(_, score)| score).sum()
/// }
/// ```
pub struct Elements<'a, T: Message> {
    forms: &'a [T::Form],
}

impl<'a, T: Message> Elements<'a, T> {
    /// Reads `forms` as elements.
    #[doc(hidden)]
    #[inline]
    pub fn new(forms: &'a [T::Form]) -> Self {
        Elements { forms }
    }

    /// The number of elements.
    ///
    /// ```
    /// # use ipc_rpc::{Archived, Message, service, testing};
    /// # #[derive(Message)]
    /// # pub struct Tags { pub all: Vec<String> }
    /// # #[service]
    /// # pub trait Shelf { fn tags(&self, text: &str) -> Tags; }
    /// # struct Plain;
    /// # impl Shelf for Plain {
    /// #     fn tags(&self, text: &str) -> Tags { Tags { all: text.split(' ').map(str::to_owned).collect() } }
    /// # }
    /// # let (shelf, _server) = testing::pair(ShelfDispatcher::new(Plain))?;
    /// let reply = shelf.view().tags("old blue thin")?;
    /// let tags = reply.all(); // of a `Vec<String>`
    /// assert_eq!(tags.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.forms.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use ipc_rpc::{Archived, Message, service, testing};
    /// # #[derive(Message)]
    /// # pub struct Tags { pub all: Vec<String> }
    /// # #[service]
    /// # pub trait Shelf { fn tags(&self, text: &str) -> Tags; }
    /// # struct Plain;
    /// # impl Shelf for Plain {
    /// #     fn tags(&self, text: &str) -> Tags { Tags { all: text.split(' ').map(str::to_owned).collect() } }
    /// # }
    /// # let (shelf, _server) = testing::pair(ShelfDispatcher::new(Plain))?;
    /// let reply = shelf.view().tags("old blue thin")?;
    /// let tags = reply.all(); // of a `Vec<String>`
    /// assert!(!tags.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// The element at `index`, if there is one.
    ///
    /// ```
    /// # use ipc_rpc::{Archived, Message, service, testing};
    /// # #[derive(Message)]
    /// # pub struct Tags { pub all: Vec<String> }
    /// # #[service]
    /// # pub trait Shelf { fn tags(&self, text: &str) -> Tags; }
    /// # struct Plain;
    /// # impl Shelf for Plain {
    /// #     fn tags(&self, text: &str) -> Tags { Tags { all: text.split(' ').map(str::to_owned).collect() } }
    /// # }
    /// # let (shelf, _server) = testing::pair(ShelfDispatcher::new(Plain))?;
    /// let reply = shelf.view().tags("old blue thin")?;
    /// let tags = reply.all(); // of a `Vec<String>`
    /// assert_eq!((tags.get(1), tags.get(3)), (Some("blue"), None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get(&self, index: usize) -> Option<View<'a, T>> {
        self.forms.get(index).map(T::view)
    }

    /// The elements in order.
    ///
    /// ```
    /// # use ipc_rpc::{Archived, Message, service, testing};
    /// # #[derive(Message)]
    /// # pub struct Tags { pub all: Vec<String> }
    /// # #[service]
    /// # pub trait Shelf { fn tags(&self, text: &str) -> Tags; }
    /// # struct Plain;
    /// # impl Shelf for Plain {
    /// #     fn tags(&self, text: &str) -> Tags { Tags { all: text.split(' ').map(str::to_owned).collect() } }
    /// # }
    /// # let (shelf, _server) = testing::pair(ShelfDispatcher::new(Plain))?;
    /// let reply = shelf.view().tags("old blue thin")?;
    /// let tags = reply.all(); // of a `Vec<String>`
    /// assert_eq!(tags.iter().map(str::len).sum::<usize>(), 11);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn iter(&self) -> ElementsIter<'a, T> {
        ElementsIter { forms: self.forms.iter() }
    }

    /// The elements in their archived form.
    ///
    /// ```
    /// # use ipc_rpc::{Archived, Message, service, testing};
    /// # #[derive(Message)]
    /// # pub struct Tags { pub all: Vec<String> }
    /// # #[service]
    /// # pub trait Shelf { fn tags(&self, text: &str) -> Tags; }
    /// # struct Plain;
    /// # impl Shelf for Plain {
    /// #     fn tags(&self, text: &str) -> Tags { Tags { all: text.split(' ').map(str::to_owned).collect() } }
    /// # }
    /// # let (shelf, _server) = testing::pair(ShelfDispatcher::new(Plain))?;
    /// let reply = shelf.view().tags("old blue thin")?;
    /// let tags = reply.all(); // of a `Vec<String>`
    /// assert_eq!(tags.archived().len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn archived(&self) -> &'a [T::Form] {
        self.forms
    }
}

impl<T: Message> Clone for Elements<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Message> Copy for Elements<'_, T> {}

impl<T: Message> Debug for Elements<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.forms).finish()
    }
}

impl<'a, T: Message> IntoIterator for Elements<'a, T> {
    type Item = View<'a, T>;
    type IntoIter = ElementsIter<'a, T>;

    #[inline]
    fn into_iter(self) -> ElementsIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Message> IntoIterator for &Elements<'a, T> {
    type Item = View<'a, T>;
    type IntoIter = ElementsIter<'a, T>;

    #[inline]
    fn into_iter(self) -> ElementsIter<'a, T> {
        self.iter()
    }
}

/// Iterator over [`Elements`].
///
/// ```
/// # use ipc_rpc::{Archived, Message, service, testing};
/// # #[derive(Message)]
/// # pub struct Tags { pub all: Vec<String> }
/// # #[service]
/// # pub trait Shelf { fn tags(&self, text: &str) -> Tags; }
/// # struct Plain;
/// # impl Shelf for Plain {
/// #     fn tags(&self, text: &str) -> Tags { Tags { all: text.split(' ').map(str::to_owned).collect() } }
/// # }
/// # let (shelf, _server) = testing::pair(ShelfDispatcher::new(Plain))?;
/// let reply = shelf.view().tags("old blue thin")?;
/// let tags = reply.all(); // of a `Vec<String>`
/// let mut tags = tags.into_iter();
/// assert_eq!((tags.next(), tags.next_back(), tags.len()), (Some("old"), Some("thin"), 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ElementsIter<'a, T: Message> {
    forms: std::slice::Iter<'a, T::Form>,
}

impl<T: Message> Clone for ElementsIter<'_, T> {
    fn clone(&self) -> Self {
        ElementsIter { forms: self.forms.clone() }
    }
}

impl<T: Message> Debug for ElementsIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.forms.as_slice()).finish()
    }
}

impl<'a, T: Message> Iterator for ElementsIter<'a, T> {
    type Item = View<'a, T>;

    #[inline]
    fn next(&mut self) -> Option<View<'a, T>> {
        self.forms.next().map(T::view)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.forms.size_hint()
    }
}

impl<T: Message> DoubleEndedIterator for ElementsIter<'_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.forms.next_back().map(T::view)
    }
}

impl<T: Message> ExactSizeIterator for ElementsIter<'_, T> {}
