//! The pod template that was wanted last, and whether an edit is why it is another one.

/// The pod template that was wanted last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    generation: i64,
    digest: String,
    /// It has been another one since an edit, and no pod is of it yet.
    pub(super) is_edited: bool,
}

impl Template {
    /// `unseen`: without a memory, whether the status has yet to speak of this generation's workers.
    pub(super) fn next(before: Option<&Self>, generation: i64, digest: &str, unseen: bool) -> Self {
        let is_edited = match before {
            Some(before) if before.generation == generation || before.digest == digest => before.is_edited,
            Some(_) => true,
            None => unseen,
        };
        Self { generation, digest: digest.to_owned(), is_edited }
    }

    /// Of the template, as it is annotated on the Deployment.
    pub fn digest(&self) -> &String {
        &self.digest
    }
}
