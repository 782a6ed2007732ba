//! What a failed statement is to the client. The log says more.

use posthaste_store::error::StoreError;

use super::ApiError;

impl ApiError {
    /// What a failed reading statement is to the client.
    #[must_use]
    pub fn from_read(error: &StoreError) -> ApiError {
        match error {
            StoreError::Unavailable(_) | StoreError::Retryable(_) => {
                tracing::warn!(%error, "a read failed");
                ApiError::Unavailable
            }
            StoreError::TooExpensive => ApiError::TooExpensive,
            StoreError::TooLarge => ApiError::AnswerTooLarge,
            StoreError::Constraint { .. }
            | StoreError::MissingPartition
            | StoreError::Data(_)
            | StoreError::NotFound
            | StoreError::Other(_) => {
                tracing::error!(%error, "a read failed");
                ApiError::Internal
            }
        }
    }

    /// What a failed writing statement is to the client.
    #[must_use]
    pub fn from_write(error: &StoreError) -> ApiError {
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "a write's outcome is unknown");
                ApiError::OutcomeUnknown
            }
            StoreError::Retryable(_) | StoreError::MissingPartition => {
                tracing::warn!(%error, "a write failed");
                ApiError::Unavailable
            }
            StoreError::Constraint { .. } | StoreError::Data(_) => {
                tracing::warn!(%error, "a value was refused");
                ApiError::Refused
            }
            StoreError::TooExpensive => ApiError::TooExpensive,
            StoreError::TooLarge => ApiError::AnswerTooLarge,
            StoreError::NotFound | StoreError::Other(_) => {
                tracing::error!(%error, "a write failed");
                ApiError::Internal
            }
        }
    }
}
