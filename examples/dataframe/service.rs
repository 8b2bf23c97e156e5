//! What the two processes say to each other.

use std::time::Duration;

use ipc_rpc::{Batch, Kept, Message, service};

/// Groups the rows of a table.
#[service]
pub trait Groups {
    /// Begins with a table of which these columns are wanted.
    fn begin(&self, question: Question);

    /// The next rows. They are read where they lie; gives how long the work took.
    fn add(&self, rows: Kept<Batch>) -> Result<Duration, String>;

    /// A row for each group: its key, the number of its rows, and of each column the sum and the mean.
    fn groups(&self) -> Result<Batch, String>;
}

/// What is asked of a table.
#[derive(Message, Debug, Clone, Default)]
pub struct Question {
    /// Rows that are equal here are a group.
    pub by: String,
    /// Columns of numbers.
    pub of: Vec<String>,
}
